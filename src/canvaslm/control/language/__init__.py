"""The language side of constraints: from what a caller asks for to an automaton over tokens."""

from canvaslm.control.language.compile import Constraint, compile_constraint, matches
from canvaslm.control.language.constraints import Choice, Grammar, Json, JsonSchema, Regex, ToolCall
from canvaslm.control.language.vocabulary import Vocabulary

__all__ = [
    "Choice",
    "Constraint",
    "Grammar",
    "Json",
    "JsonSchema",
    "Regex",
    "ToolCall",
    "Vocabulary",
    "compile_constraint",
    "matches",
]
