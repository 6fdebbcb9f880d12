"""Evaluations to look at: a page and a plot."""
