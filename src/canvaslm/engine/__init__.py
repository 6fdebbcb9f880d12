"""The journey of a request: prompt to ids to canvases to text, as events and results."""
