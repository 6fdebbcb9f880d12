"""Training: the published objective, recipes, and runs that survive being killed."""
