"""Text changed where it stands: gaps filled, spans edited, doubtful places repaired."""
