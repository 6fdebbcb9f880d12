"""Measuring a model on the tasks: held-out cases, scores, and what they cost."""
