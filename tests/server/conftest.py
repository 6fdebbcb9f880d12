"""The embedded model behind a real server on a free port of the loopback."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

import canvaslm
from canvaslm import LM
from canvaslm.engine.serving.engine import Engine
from canvaslm.server.app import create_app
from canvaslm.server.door.connection import PatientConnection
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server: httpx.get(server.base_url + "/health")."""

    base_url: str
    app: FastAPI

    @property
    def port(self) -> int:
        return int(self.base_url.rpartition(":")[2])

    def client(self, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.base_url, timeout=60, **options)


@contextmanager
def serving(app: FastAPI) -> Iterator[Server]:
    """uvicorn on a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_config=None, http=PatientConnection, loop="asyncio", ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
        assert thread.is_alive()
    try:
        yield Server(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", app=app)
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
        listener.close()


@pytest.fixture(scope="session")
def lm() -> LM:
    """The embedded model."""
    return canvaslm.load()


@pytest.fixture(scope="session")
def engine(lm: LM) -> Iterator[Engine]:
    """Started, and stopped at the end of the session."""
    with Engine(lm) as engine:
        yield engine


@pytest.fixture(scope="session")
def service(engine: Engine) -> Service:
    return Service(settings=Settings(), engine=engine)


@pytest.fixture(scope="session")
def app(service: Service) -> FastAPI:
    return create_app(service)


@pytest.fixture(scope="session")
def server(app: FastAPI) -> Iterator[Server]:
    """A real server, for the whole session: `server.base_url`."""
    with serving(app) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of the real server: `client.post("/v1/chat/completions", json={...})`."""
    with server.client() as client:
        yield client
