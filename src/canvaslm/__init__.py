"""canvaslm: an engine for text-diffusion language models of the DiffusionGemma architecture."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canvaslm.adapter.adapter import Adapter
    from canvaslm.adapter.files import read_adapter
    from canvaslm.control.language.constraints import Choice, Grammar, Json, JsonSchema, Regex
    from canvaslm.engine.decide.answers import Decisions
    from canvaslm.engine.decide.questions import Option, Pick, Rate, YesNo
    from canvaslm.engine.device import Placement
    from canvaslm.engine.events import Done, Draft, Event, Text
    from canvaslm.engine.lm import LM
    from canvaslm.engine.loading import load
    from canvaslm.engine.params import Params
    from canvaslm.engine.result import Result, Usage
    from canvaslm.engine.rewriting.document import InfilledDocument
    from canvaslm.engine.rewriting.edit import Edited
    from canvaslm.engine.rewriting.infill import Infilled
    from canvaslm.engine.rewriting.repair import Repaired
    from canvaslm.engine.scoring.elbo import Elbo
    from canvaslm.engine.scoring.score import Scores
    from canvaslm.engine.scoring.token import TokenLogprob
    from canvaslm.errors import CanvasError
    from canvaslm.quant.scheme import Scheme
    from canvaslm.text.messages import Message
    from canvaslm.text.spans import Broken, Thought, ToolCall

# Importing canvaslm does nothing: a name brings its module, and torch, when it is first used.
_HOMES = {
    "LM": "engine.lm",
    "Adapter": "adapter.adapter",
    "Broken": "text.spans",
    "CanvasError": "errors",
    "Choice": "control.language.constraints",
    "Decisions": "engine.decide.answers",
    "Done": "engine.events",
    "Draft": "engine.events",
    "Edited": "engine.rewriting.edit",
    "Elbo": "engine.scoring.elbo",
    "Event": "engine.events",
    "Grammar": "control.language.constraints",
    "Infilled": "engine.rewriting.infill",
    "InfilledDocument": "engine.rewriting.document",
    "Json": "control.language.constraints",
    "JsonSchema": "control.language.constraints",
    "Message": "text.messages",
    "Option": "engine.decide.questions",
    "Params": "engine.params",
    "Pick": "engine.decide.questions",
    "Placement": "engine.device",
    "Rate": "engine.decide.questions",
    "Regex": "control.language.constraints",
    "Repaired": "engine.rewriting.repair",
    "Result": "engine.result",
    "Scheme": "quant.scheme",
    "Scores": "engine.scoring.score",
    "Text": "engine.events",
    "Thought": "text.spans",
    "TokenLogprob": "engine.scoring.token",
    "ToolCall": "text.spans",
    "Usage": "engine.result",
    "YesNo": "engine.decide.questions",
    "load": "engine.loading",
    "read_adapter": "adapter.files",
}

__all__ = [
    "LM",
    "Adapter",
    "Broken",
    "CanvasError",
    "Choice",
    "Decisions",
    "Done",
    "Draft",
    "Edited",
    "Elbo",
    "Event",
    "Grammar",
    "Infilled",
    "InfilledDocument",
    "Json",
    "JsonSchema",
    "Message",
    "Option",
    "Params",
    "Pick",
    "Placement",
    "Rate",
    "Regex",
    "Repaired",
    "Result",
    "Scheme",
    "Scores",
    "Text",
    "Thought",
    "TokenLogprob",
    "ToolCall",
    "Usage",
    "YesNo",
    "load",
    "read_adapter",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'canvaslm' has no attribute {name!r}")
    return getattr(import_module(f"canvaslm.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
