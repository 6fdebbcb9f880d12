"""Weights in few bits: which scheme, and matrices rounded so that their outputs change least."""
