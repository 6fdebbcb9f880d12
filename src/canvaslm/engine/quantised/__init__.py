"""Quantised models: rounded folder to folder or while loading, and read as their files say."""
