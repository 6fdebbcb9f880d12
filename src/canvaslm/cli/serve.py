"""`canvaslm serve`: a model behind OpenAI's API and its neighbours, with a page to watch it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from canvaslm.cli import options, output
from canvaslm.errors import ParameterError, StorageError

if TYPE_CHECKING:
    from canvaslm import LM
    from canvaslm.adapter.adapter import Adapter

KEYS = "CANVASLM_API_KEYS"
EXTRA = frozenset({"fastapi", "greenlet", "prometheus_client", "pydantic", "starlette", "uvicorn"})


def serve(
    model: Annotated[
        str | None,
        typer.Argument(help="Folder or hub id; without it, the embedded model."),
    ] = None,
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines ask.")
    ] = "127.0.0.1",
    name: Annotated[
        str | None,
        typer.Option(help="The id the model goes by.", show_default="its folder's name"),
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER",
            help="A PEFT adapter to serve beside the model, as the model NAME; may be repeated.",
            show_default=False,
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"API keys, one a line; more may be in {KEYS}, between commas. SIGHUP reads them "
            "again. Without any, everybody may ask.",
            show_default=False,
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Web pages of this origin may ask; may be repeated.",
            show_default=False,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name that requests may call this server; may be repeated.",
            show_default="localhost's on a loopback address, else any",
        ),
    ] = None,
    quant: options.Quant = None,
    cache: Annotated[
        Literal["auto", "int8"], typer.Option(help="What keys and values are kept in.")
    ] = "auto",
    context: Annotated[
        int | None,
        typer.Option(help="Tokens to plan the memory for.", show_default="8192, or the model's"),
    ] = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    max_active: Annotated[int, typer.Option(help="Requests at work at a time.")] = 32,
    max_queue: Annotated[int, typer.Option(help="Requests that may wait; more get 429.")] = 256,
    max_per_client: Annotated[int, typer.Option(help="Requests that one client may have.")] = 64,
    max_body: Annotated[int, typer.Option(help="Largest body, in bytes.")] = 4 << 20,
    timeout: Annotated[float, typer.Option(help="Seconds a request may take.")] = 600.0,
    drain: Annotated[
        float, typer.Option(help="Seconds that running requests get when the server stops.")
    ] = 10.0,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="Least that is logged.")
    ] = "info",
    log_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the log goes.", show_default="stderr"),
    ] = None,
    log_prompts: Annotated[
        bool, typer.Option("--log-prompts", help="Log what was asked, too.")
    ] = False,
) -> None:
    """Serve MODEL over HTTP until SIGTERM or Ctrl-C, which let running requests finish.

    It listens at once; /ready says when the model is loaded. A page to try it is at /.
    """
    try:
        from canvaslm.server.door.auth import read_key_file, read_keys
        from canvaslm.server.monitor.logs import Log
        from canvaslm.server.run import Server
        from canvaslm.server.settings import Limits, Settings
    except ModuleNotFoundError as missing:
        raise missing_extra(missing) from None

    def keys() -> tuple[str, ...]:
        given = read_keys(os.environ.get(KEYS, "").replace(",", "\n").splitlines(), source=KEYS)
        return given if api_key_file is None else (*given, *read_key_file(api_key_file))

    def load() -> LM:
        import canvaslm

        return canvaslm.load(
            model, device=device, dtype=dtype, quant=quant, cache=cache, context=context
        )

    def read() -> dict[str, Adapter]:
        from canvaslm.adapter.files import read_adapter
        from canvaslm.adapter.mark import warn_of_another_base
        from canvaslm.checkpoint.folder import open_checkpoint
        from canvaslm.engine.loading import POCKET

        found = {name: read_adapter(folder) for name, folder in folders.items()}
        for adapter in found.values():
            warn_of_another_base(adapter, open_checkpoint(POCKET if model is None else model))
        return found

    known, folders = names(model), read_folders(adapter or [])
    settings = Settings(
        host=host,
        port=port,
        name=known[0] if name is None else name,
        aliases=known,
        adapters=tuple(folders),
        keys=keys(),
        origins=tuple(cors_origin or ()),
        hosts=tuple(allow_host or ()),
        body=max_body,
        wait=timeout,
        drain=drain,
        log_prompts=log_prompts,
        limits=Limits(active=max_active, queue=max_queue, per_client=max_per_client),
    )
    console = output.console(to_stderr=True)
    server = Server(
        settings=settings,
        load=load,
        adapters=read,
        log=Log(level=log_level, path=writable(log_file)),
        say=lambda text: console.print(f"canvaslm: {text}", markup=False),
        reload=None if api_key_file is None else keys,
    )
    raise typer.Exit(server.run())


def writable(log_file: Path | None) -> Path | None:
    """Raises StorageError for a log that cannot be begun; one that fails later is warned about."""
    try:
        if log_file is not None:
            log_file.open("a").close()
    except OSError as error:
        raise StorageError(
            f"the log {log_file} cannot be written: {error.strerror}; choose another --log-file"
        ) from None
    return log_file


def names(model: str | None) -> tuple[str, ...]:
    """What a model may be called: the folder's own name, and what was typed."""
    if model is None:
        return ("canvaslm-pocket", "pocket")
    own = Path(model).resolve().name if Path(model).exists() else model.rstrip("/").split("/")[-1]
    return tuple(dict.fromkeys(name for name in (own, model) if name))


def read_folders(given: list[str]) -> dict[str, Path]:
    """The folders of adapters by name. Raises ParameterError for no folder, and a name twice."""
    folders: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not equals or not Path(folder).expanduser().is_dir():
            raise ParameterError(f"--adapter wants NAME=FOLDER with a PEFT folder, got {text!r}")
        if name in folders:
            raise ParameterError(f"--adapter gives {name!r} twice: choose another name")
        folders[name] = Path(folder).expanduser()
    return folders


def missing_extra(missing: ModuleNotFoundError) -> Exception:
    """What to say of a module that is not there: how to install it, if it is one of the extra's."""
    if (missing.name or "").partition(".")[0] not in EXTRA:
        return missing
    return ParameterError(
        f"canvaslm serve needs {missing.name}, which is not installed: "
        "pip install 'canvaslm[server]'"
    )
