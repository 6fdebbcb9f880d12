"""Runs of an evaluation: their cases one by one, in a folder, resumed, and compared in pairs."""
