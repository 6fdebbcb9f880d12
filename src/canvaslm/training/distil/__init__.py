"""Fewer steps: a model learns the ends of its own trajectories from their beginnings."""
