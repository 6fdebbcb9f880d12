"""Options of `canvaslm serve`: the model, who may ask, how much at a time, and what is logged."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from canvaslm.cli import options
from canvaslm.errors import ParameterError, StorageError

if TYPE_CHECKING:
    from canvaslm import LM
    from canvaslm.adapter.adapter import Adapter
    from canvaslm.server.monitor.logs import Log
    from canvaslm.server.settings import Limits

KEYS = "CANVASLM_API_KEYS"


@dataclass(frozen=True, kw_only=True)
class Served:
    """Where it listens, and what a model and its adapters are called there."""

    model: Annotated[
        str | None,
        typer.Argument(help="Folder or hub id; without it, the embedded model."),
    ] = None
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines ask.")
    ] = "127.0.0.1"
    name: Annotated[
        str | None,
        typer.Option(help="The id the model goes by.", show_default="its folder's name"),
    ] = None
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER",
            help="A PEFT adapter to serve beside the model, as the model NAME; may be repeated.",
            show_default=False,
        ),
    ] = None

    @property
    def names(self) -> tuple[str, ...]:
        """What the model may be called: the folder's own name, and what was typed."""
        if self.model is None:
            return ("canvaslm-pocket", "pocket")
        folder = Path(self.model)
        own = folder.resolve().name if folder.exists() else self.model.rstrip("/").split("/")[-1]
        return tuple(dict.fromkeys(name for name in (own, self.model) if name))

    def folders(self) -> dict[str, Path]:
        """The adapters' by name. Raises ParameterError for no folder, and a name twice."""
        folders: dict[str, Path] = {}
        for text in self.adapter or []:
            name, equals, folder = text.partition("=")
            if not equals or not Path(folder).expanduser().is_dir():
                raise ParameterError(
                    f"--adapter wants NAME=FOLDER with a PEFT folder, got {text!r}"
                )
            if name in folders:
                raise ParameterError(f"--adapter gives {name!r} twice: choose another name")
            folders[name] = Path(folder).expanduser()
        return folders

    def adapters(self) -> dict[str, Adapter]:
        """What is in the folders, with a warning for an adapter of another base."""
        from canvaslm.adapter.files import read_adapter
        from canvaslm.adapter.mark import warn_of_another_base
        from canvaslm.checkpoint.folder import open_checkpoint
        from canvaslm.engine.loading import POCKET

        found = {name: read_adapter(folder) for name, folder in self.folders().items()}
        for adapter in found.values():
            base = POCKET if self.model is None else self.model
            warn_of_another_base(adapter, open_checkpoint(base))
        return found


@dataclass(frozen=True, kw_only=True)
class Admission:
    """Who may ask."""

    api_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"API keys, one a line; more may be in {KEYS}, between commas. SIGHUP reads them "
            "again. Without any, everybody may ask.",
            show_default=False,
        ),
    ] = None
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Web pages of this origin may ask; may be repeated.",
            show_default=False,
        ),
    ] = None
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name that requests may call this server; may be repeated.",
            show_default="localhost's on a loopback address, else any",
        ),
    ] = None

    def keys(self) -> tuple[str, ...]:
        """Those of the environment and the file, read now."""
        from canvaslm.server.door.auth import read_key_file, read_keys

        given = read_keys(os.environ.get(KEYS, "").replace(",", "\n").splitlines(), source=KEYS)
        file = self.api_key_file
        return given if file is None else (*given, *read_key_file(file))


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How the model is loaded."""

    quant: options.Quant = None
    cache: Annotated[
        Literal["auto", "int8"], typer.Option(help="What keys and values are kept in.")
    ] = "auto"
    context: Annotated[
        int | None,
        typer.Option(help="Tokens to plan the memory for.", show_default="8192, or the model's"),
    ] = None
    device: options.Device = "auto"
    dtype: options.Dtype = "auto"

    def load(self, model: str | None) -> LM:
        """Raises what `canvaslm.load` does."""
        import canvaslm

        return canvaslm.load(
            model,
            device=self.device,
            dtype=self.dtype,
            quant=self.quant,
            cache=self.cache,
            context=self.context,
        )


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much at a time, and for how long."""

    max_active: Annotated[int, typer.Option(help="Requests at work at a time.")] = 32
    max_queue: Annotated[int, typer.Option(help="Requests that may wait; more get 429.")] = 256
    max_per_client: Annotated[int, typer.Option(help="Requests that one client may have.")] = 64
    max_body: Annotated[int, typer.Option(help="Largest body, in bytes.")] = 4 << 20
    timeout: Annotated[float, typer.Option(help="Seconds a request may take.")] = 600.0
    drain: Annotated[
        float, typer.Option(help="Seconds that running requests get when the server stops.")
    ] = 10.0

    def limits(self) -> Limits:
        from canvaslm.server.settings import Limits

        return Limits(active=self.max_active, queue=self.max_queue, per_client=self.max_per_client)


@dataclass(frozen=True, kw_only=True)
class Logging:
    """What is logged, and where."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="Least that is logged.")
    ] = "info"
    log_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the log goes.", show_default="stderr"),
    ] = None
    log_prompts: Annotated[bool, typer.Option("--log-prompts", help="Log what was asked, too.")] = (
        False
    )

    def log(self) -> Log:
        """Raises StorageError for one that cannot be begun; one that fails later is warned
        about."""
        from canvaslm.server.monitor.logs import Log

        try:
            if self.log_file is not None:
                self.log_file.open("a").close()
        except OSError as error:
            raise StorageError(
                f"the log {self.log_file} cannot be written: {error.strerror}; choose another "
                "--log-file"
            ) from None
        return Log(level=self.log_level, path=self.log_file)
