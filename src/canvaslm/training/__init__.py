"""Training: the published objective, recipes, and runs that survive being killed."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canvaslm.training.data.documents import Documents
    from canvaslm.training.data.sources import Chats, Generated, Pairs, Texts
    from canvaslm.training.data.tasks import Mixture, Tasks
    from canvaslm.training.loop import train
    from canvaslm.training.optimise.choose import Adafactor, AdamW, MuonAdamW
    from canvaslm.training.optimise.schedule import Constant, Cosine, Linear, Trapezoid
    from canvaslm.training.part import LowRank
    from canvaslm.training.recipe import Recipe, Watch
    from canvaslm.training.rounded import Rounded
    from canvaslm.training.start import Base, Scratch

_HOMES = {
    "data.documents": ("Documents",),
    "data.sources": ("Chats", "Generated", "Pairs", "Texts"),
    "data.tasks": ("Mixture", "Tasks"),
    "loop": ("train",),
    "optimise.choose": ("Adafactor", "AdamW", "MuonAdamW"),
    "optimise.schedule": ("Constant", "Cosine", "Linear", "Trapezoid"),
    "part": ("LowRank",),
    "recipe": ("Recipe", "Watch"),
    "rounded": ("Rounded",),
    "start": ("Base", "Scratch"),
}

__all__ = [
    "Adafactor",
    "AdamW",
    "Base",
    "Chats",
    "Constant",
    "Cosine",
    "Documents",
    "Generated",
    "Linear",
    "LowRank",
    "Mixture",
    "MuonAdamW",
    "Pairs",
    "Recipe",
    "Rounded",
    "Scratch",
    "Tasks",
    "Texts",
    "Trapezoid",
    "Watch",
    "train",
]


def __getattr__(name: str) -> Any:
    """What a recipe file needs, imported when it is asked for."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
