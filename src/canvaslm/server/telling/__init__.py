"""From the engine's events to the bodies and streams of each endpoint."""
