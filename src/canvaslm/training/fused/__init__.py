"""Training on a CPU by operations of our own: everything between the plain matrix products."""
