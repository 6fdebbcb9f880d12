"""A model's card: everything it claims is measured, kept beside the weights, and checked."""
