"""Typed decisions: questions about a state, answered with probabilities and no generated text."""
