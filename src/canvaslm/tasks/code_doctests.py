"""Which functions of the standard library have examples in their docstrings."""

import json
import platform
from functools import lru_cache

from canvaslm.tasks.code_stdlib import STANDARD, find
from canvaslm.tasks.disk_pool import remembered


@lru_cache(maxsize=1)
def doctests() -> dict[str, tuple[str, str]]:
    """Source as the task cuts it -> the module, and the qualified name in it, of each function of
    the standard library with a doctest. Whether the test can run alone, only running it tells."""
    lines = remembered(f"doctests-{platform.python_version()}-v1", _build)
    return {source: (module, name) for source, module, name in map(json.loads, lines)}


def _build() -> list[str]:
    found: dict[str, tuple[str, str]] = {}
    for function in find(STANDARD):
        if ">>>" in function.docstring:
            found.setdefault(function.source, (function.module, function.name))
    return [json.dumps([source, *place]) for source, place in found.items()]
