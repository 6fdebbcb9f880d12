"""Exact inference on a canvas that must spell an allowed text: marginals, draws, the likeliest."""
