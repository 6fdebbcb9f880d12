"""The HTTP server: OpenAI's API and its neighbours, the page, and nothing of the engine's work."""
