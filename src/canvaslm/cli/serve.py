"""`canvaslm serve`: a model behind OpenAI's API and its neighbours, with a page to watch it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from canvaslm.cli import output
from canvaslm.cli.serve_options import Admission, Bounds, Loading, Logging, Served
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm.server.settings import Settings

EXTRA = frozenset({"fastapi", "greenlet", "prometheus_client", "pydantic", "starlette", "uvicorn"})


def serve(
    *, served: Served, admission: Admission, loading: Loading, bounds: Bounds, logging: Logging
) -> None:
    """Serve MODEL over HTTP until SIGTERM or Ctrl-C, which let running requests finish.

    It listens at once; /ready says when the model is loaded. A page to try it is at /.
    """
    try:
        from canvaslm.server.run import Server
    except ModuleNotFoundError as missing:
        raise missing_extra(missing) from None

    console = output.console(to_stderr=True)
    server = Server(
        settings=settings_of(served, admission, bounds, log_prompts=logging.log_prompts),
        load=lambda: loading.load(served.model),
        adapters=served.adapters,
        log=logging.log(),
        say=lambda text: console.print(f"canvaslm: {text}", markup=False),
        reload=None if admission.api_key_file is None else admission.keys,
    )
    raise typer.Exit(server.run())


def settings_of(
    served: Served, admission: Admission, bounds: Bounds, *, log_prompts: bool
) -> Settings:
    """What the server is told. Raises ParameterError for a setting that cannot be."""
    from canvaslm.server.settings import Settings

    return Settings(
        host=served.host,
        port=served.port,
        name=served.names[0] if served.name is None else served.name,
        aliases=served.names,
        adapters=tuple(served.folders()),
        keys=admission.keys(),
        origins=tuple(admission.cors_origin or ()),
        hosts=tuple(admission.allow_host or ()),
        body=bounds.max_body,
        wait=bounds.timeout,
        drain=bounds.drain,
        log_prompts=log_prompts,
        limits=bounds.limits(),
    )


def missing_extra(missing: ModuleNotFoundError) -> Exception:
    """What to say of a module that is not there: how to install it, if it is one of the extra's."""
    if (missing.name or "").partition(".")[0] not in EXTRA:
        return missing
    return ParameterError(
        f"canvaslm serve needs {missing.name}, which is not installed: "
        "pip install 'canvaslm[server]'"
    )
