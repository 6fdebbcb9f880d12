"""Tasks that train, measure and show a model: a generator and a scorer each."""

from importlib import import_module

from canvaslm.errors import TaskError
from canvaslm.tasks.task import Example, Score, Split, Task, split_of

_HOMES = {
    "sudoku": ("sudoku", "Sudoku"),
    "scenes": ("scenes", "Scenes"),
    "ask": ("ask", "Ask"),
    "json": ("records", "Records"),
    "code": ("code", "Code"),
    "sudoku-protocol": ("sudoku_protocol", "ProtocolSudoku"),
    "star": ("star", "Star"),
    "motif": ("motif", "Motif"),
}

LEARNT: tuple[str, ...] = ("star", "motif")
"""Tasks that the embedded model has not seen: adapters teach them."""

FORMS: tuple[str, ...] = ("sudoku-protocol",)
"""The same in a form that other models are asked in: Sudokus as 81 digits apart."""

TASKS: tuple[str, ...] = tuple(name for name in _HOMES if name not in (*LEARNT, *FORMS))
"""Tasks that the embedded model was trained on."""


def get(name: str) -> Task:
    """The task called `name`. Raises TaskError, listing the names, if there is none."""
    if name not in _HOMES:
        raise TaskError(f"task {name!r} does not exist: use one of {', '.join(_HOMES)}")
    module, attribute = _HOMES[name]
    task: Task = getattr(import_module(f"canvaslm.tasks.{module}"), attribute)()
    return task


__all__ = ["FORMS", "LEARNT", "TASKS", "Example", "Score", "Split", "Task", "get", "split_of"]
