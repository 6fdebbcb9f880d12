"""The server's life: it listens, loads, serves, drains, and ends with a reason."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn

from canvaslm.adapter.adapter import Adapter
from canvaslm.engine.lm import LM
from canvaslm.engine.serving.engine import Engine
from canvaslm.errors import ParameterError, StoppedError
from canvaslm.server.app import create_app
from canvaslm.server.door.connection import PatientConnection
from canvaslm.server.door.guard import is_loopback
from canvaslm.server.monitor.logs import Log
from canvaslm.server.monitor.memory import keep_trimmed
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings

GRACE = 5.0
"""Seconds after `drain` in which cancelled requests may still say so."""
AT_ONCE = 1.0
"""Seconds after a second signal until the process is gone, whatever it does."""
LOOK = 0.5
KEEP_ALIVE = 65
"""Seconds that an idle connection stays open: longer than usual clients keep theirs."""

Say = Callable[[str], None]


def listen(settings: Settings) -> socket.socket:
    """A socket bound to the address. Raises ParameterError where that cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=512)
    except OSError as failure:
        where = f"{settings.host} port {settings.port}"
        raise ParameterError(
            f"cannot listen on {where}: {failure.strerror or failure}: choose another with --host "
            "and --port"
        ) from None


@dataclass(kw_only=True)
class Server:
    """A server from its start to its end.

    load      gives the model, on a thread of its own
    log       where lines about requests and events go
    say       tells whoever started it
    adapters  gives what goes by the names of the settings' adapters, on that thread, too
    reload    reads the API keys anew, on SIGHUP; None: there is nothing to read
    """

    settings: Settings
    load: Callable[[], LM]
    log: Log
    say: Say
    adapters: Callable[[], Mapping[str, Adapter]] = dict
    reload: Callable[[], tuple[str, ...]] | None = None

    def run(self) -> int:
        """Serve until a signal comes, which gives the exit code. Raises what loading raises."""
        code = asyncio.run(self._run(listen(self.settings)))
        if self._loading.is_alive():
            # It is deep in native code: Python's own end would abort the process under it.
            self.log.close()
            sys.stderr.flush()
            os._exit(code)
        return code

    def __post_init__(self) -> None:
        self._failure: BaseException | None = None
        self._signal: int | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._loading = threading.Thread(target=self._load, name="canvaslm-load", daemon=True)

    async def _run(self, listener: socket.socket) -> int:
        self._loop = asyncio.get_running_loop()
        self.service = Service(settings=self.settings)
        self._app = create_app(self.service, log=self.log)
        self._web = _Web(self._config())
        self._loading.start()
        with self._signals(), _uvicorn_logs_to(self.log):
            self._greet(listener)
            beside = [asyncio.create_task(one) for one in (self._watch_engine(), keep_trimmed())]
            await self._web.serve(sockets=[listener])
            for task in beside:
                task.cancel()
            await (self._stopping or self._stop())
        if self._failure is not None:
            raise self._failure
        self.log.write("stopped")
        return 0 if self._signal is None else 128 + self._signal

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._app,
            http=PatientConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=int(self.settings.drain + GRACE),
        )

    def _greet(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self.say(f"listening on http://{shown}:{port}")
        self.log.write("listening", host=host, port=port, pid=os.getpid())
        if not is_loopback(self.settings.host) and not self.settings.keys:
            self.say("anybody who reaches this address may ask: give keys with --api-key-file")

    def _load(self) -> None:
        """On its own thread, so that nothing waits for it."""
        try:
            adapters = self.adapters()
            engine = Engine(self.load(), adapters=adapters, limits=self.settings.limits)
            engine.start()
            for name in ("", *adapters):
                engine.submit(warm_up, adapter=name)  # while the first requests are on their way
        except BaseException as error:
            self._tell_loop(self._fail, error)
        else:
            self._tell_loop(self._open, engine)

    def _tell_loop(self, call: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the server has ended meanwhile
            self._loop.call_soon_threadsafe(call, *args)

    def _open(self, engine: Engine) -> None:
        """The model is wholly loaded."""
        self.service.engine = engine
        if self.service.stopping:
            engine.stop()
            return
        self.say(f"ready: {self.settings.name}")
        self.log.write("ready", model=self.settings.name)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self.log.write("failed", level="error", error=str(error))
        self._web.should_exit = True

    async def _watch_engine(self) -> None:
        """An engine that died of a bug ends the server: whoever runs it starts it again."""
        while not self.service.loaded or self.service.engine.error is None:
            await asyncio.sleep(LOOK)
        self._fail(self.service.engine.error)
        self.service.abandon(StoppedError("the engine has failed: ask again once it is restarted"))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end, number)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                self._loop.remove_signal_handler(number)

    def _end(self, number: int) -> None:
        """The first signal drains; the second ends it at once."""
        if self._signal is None:
            self._signal = number
            self.say(f"stopping: what runs gets {self.settings.drain:g} s; again ends it at once")
            self.log.write("stopping", signal=signal.Signals(number).name)
            self._stopping = asyncio.create_task(self._stop(drain=self.settings.drain))
            self._web.should_exit = True
            return
        self.service.cancel_all("the server was told to stop at once")
        self._loop.call_later(AT_ONCE, os._exit, 128 + self._signal)

    async def _stop(self, *, drain: float = 0.0) -> None:
        self.service.stopping = True
        if self.service.loaded:
            await asyncio.to_thread(self.service.engine.stop, drain=drain)

    def _reload(self) -> None:
        """SIGHUP: the keys anew, all of them or none; and a new log file."""
        self.log.reopen()
        if self.reload is None:
            return
        try:
            keys = self.reload()
        except ParameterError as error:
            self.say(f"the old keys stay: {error}")
            self.log.write("keys", level="error", error=str(error))
            return
        self._app.state.keys.replace(keys)
        self.say(f"read {len(keys)} keys")
        self.log.write("keys", count=len(keys))


class _Web(uvicorn.Server):
    """uvicorn's server, which leaves signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _ToLog(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__(level=logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        said: dict[str, Any] = {"message": record.getMessage(), "logger": record.name}
        if record.exc_info:
            said["trace"] = logging.Formatter().formatException(record.exc_info)
        self._log.write("web", level="warning", **said)


@contextmanager
def _uvicorn_logs_to(log: Log) -> Iterator[None]:
    """What uvicorn and asyncio have to say, as lines of the log."""
    handler, loggers = _ToLog(log), [logging.getLogger("uvicorn"), logging.getLogger("asyncio")]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate


def warm_up(lm: LM) -> Sequence[object]:
    """Work for the engine that gives nothing."""
    lm.warm_up()
    return ()
