"""canvaslm: an engine for text-diffusion language models of the DiffusionGemma architecture."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canvaslm.engine.device import Choice
    from canvaslm.engine.events import Done, Draft, Event, Text
    from canvaslm.engine.lm import LM, load
    from canvaslm.engine.params import Params
    from canvaslm.engine.result import Result, Usage
    from canvaslm.errors import CanvasError
    from canvaslm.text.messages import Message
    from canvaslm.text.spans import Broken, Thought, ToolCall

# Importing canvaslm does nothing: a name brings its module, and torch, when it is first used.
_HOMES = {
    "LM": "engine.lm",
    "Broken": "text.spans",
    "CanvasError": "errors",
    "Choice": "engine.device",
    "Done": "engine.events",
    "Draft": "engine.events",
    "Event": "engine.events",
    "Message": "text.messages",
    "Params": "engine.params",
    "Result": "engine.result",
    "Text": "engine.events",
    "Thought": "text.spans",
    "ToolCall": "text.spans",
    "Usage": "engine.result",
    "load": "engine.lm",
}

__all__ = [
    "LM",
    "Broken",
    "CanvasError",
    "Choice",
    "Done",
    "Draft",
    "Event",
    "Message",
    "Params",
    "Result",
    "Text",
    "Thought",
    "ToolCall",
    "Usage",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'canvaslm' has no attribute {name!r}")
    return getattr(import_module(f"canvaslm.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
