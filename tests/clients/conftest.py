"""The server of tests/server, for clients that others have written."""

from tests.server.conftest import app, client, engine, lm, server, service

__all__ = ["app", "client", "engine", "lm", "server", "service"]
