"""`canvaslm doctor`: what this machine offers, what was chosen for it, and why."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import typer

from canvaslm.cli import options, output
from canvaslm.errors import CanvasError

_GIB = 1 << 30
_BUILD = "python -m canvaslm.kernels.build"


def doctor(as_json: options.Json = False) -> None:
    """Say what this machine offers, what was chosen for it, and why."""
    found = {
        "versions": {"canvaslm": version("canvaslm"), "python": platform.python_version()}
        | _installed(extra=None),
        "extras": _extras(),
        "processor": _processor(),
        "kernels": _kernels(),
        "accelerators": _accelerators(),
        "embedded model": _embedded(),
    }
    if as_json:
        output.write_json(found)
        return
    for title, values in found.items():
        typer.echo(title)
        for name, value in values.items():
            typer.echo(f"  {name:16}  {value}")


def _installed(*, extra: str | None) -> dict[str, str]:
    """Version of each requirement of this package, or of one of its extras."""
    found = {}
    for requirement in requires("canvaslm") or ():
        match = re.search(r"extra == ['\"](.+)['\"]", requirement)
        if (match and match[1]) == extra:
            name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = "missing"
    return found


def _extras() -> dict[str, str]:
    described = {}
    for extra in ("test",):
        lacking = [name for name, found in _installed(extra=extra).items() if found == "missing"]
        described[extra] = f"lacks {', '.join(lacking)}" if lacking else "complete"
    return described


def _processor() -> dict[str, str]:
    import torch

    from canvaslm.engine.device import physical_memory
    from canvaslm.engine.memory import available_memory
    from canvaslm.eval import machine

    total, free = physical_memory(), available_memory()
    return {
        "name": machine.cpu_name(),
        "features": ", ".join(machine.cpu_features()) or "unknown",
        "threads": f"{torch.get_num_threads()} of {machine.core_count()} usable cores",
        "caches": _caches() or "unknown",
        "memory": f"{free / _GIB:.1f} GiB free of {total / _GIB:.1f}",
    }


def _caches(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> str:
    """Sizes of the second and third cache that the first core sees, as Linux tells them."""
    found = {}
    for index in sorted(folder.glob("index*")):
        level = (index / "level").read_text().strip()
        if level in ("2", "3"):
            kilobytes = int((index / "size").read_text().strip().removesuffix("K"))
            found[level] = f"L{level} {kilobytes / 1024:g} MiB"
    return ", ".join(found.values())


def _kernels() -> dict[str, str]:
    """Which native kernels there are, and which of them compute."""
    from canvaslm.kernels import build, choose
    from canvaslm.kernels.cpu.library import built, runnable

    found = {
        "compiled": ", ".join(built()) or "none",
        "runnable": ", ".join(runnable()) or "none",
        "compiler": build.compiler() or "none",
    }
    asked = os.environ.get(choose.VARIABLE)
    try:
        name = choose.operations().name
    except CanvasError as error:
        return found | {"chosen": f"cannot be used: {error}"}
    if asked:
        why = f"{choose.VARIABLE} says so"
    elif name != "reference":
        why = "the best that was compiled and runs here"
    else:
        install = "" if build.compiler() else "install g++ and "
        why = f"no kernels were compiled; for faster ones {install}run `{_BUILD}`"
    old = [one for one in built() if build.stale(one)]
    if old and build.SOURCE.is_dir():
        found["stale"] = f"{', '.join(old)}: the sources have changed since; run `{_BUILD}`"
    return found | {"chosen": f"{name}: {why}"}


def _accelerators() -> dict[str, str]:
    import torch

    found = {}
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        memory = f"{about.total_memory / _GIB:.0f} GiB"
        found[f"cuda:{index}"] = f"{about.name}, {memory}, compute {about.major}.{about.minor}"
    return found or {"none": "torch sees no CUDA device"}


def _embedded() -> dict[str, str]:
    """Where the embedded model would run; read from its headers, without loading it."""
    from canvaslm.checkpoint.folder import open_checkpoint
    from canvaslm.engine.device import choose
    from canvaslm.engine.loading import POCKET
    from canvaslm.model.presets import parameter_count

    try:
        checkpoint = open_checkpoint(POCKET)
    except CanvasError as error:
        return {"state": f"cannot be used: {error}"}
    parameters = parameter_count(checkpoint.config)
    choice = choose("auto", "auto", stored=checkpoint.dtype, parameters=parameters)
    return {
        "state": f"present, {parameters:,} parameters",
        "device": f"{choice.device}: {choice.why_device}",
        "dtype": f"{str(choice.dtype).removeprefix('torch.')}: {choice.why_dtype}",
    }
