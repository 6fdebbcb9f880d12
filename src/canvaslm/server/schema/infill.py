"""`/infill`: llama.cpp's shape of a gap, as llama.vim and llama.vscode ask for it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from canvaslm.engine.rewriting.rewriter import MAX_GAP
from canvaslm.server.schema.common import HUGE, Body, Effort, Number, Request, Usage
from canvaslm.server.schema.unserved import Unserved

Milliseconds = Annotated[Number, Field(ge=0)]
Sampler = Literal[
    "penalties",
    "dry",
    "top_n_sigma",
    "top_k",
    "typ_p",
    "typical_p",
    "top_p",
    "min_p",
    "xtc",
    "temperature",
    "infill",
    "adaptive_p",
]
StopType = Literal["eos", "limit", "word"]


class Extra(Body):
    """A piece of another file, or of the same one. `time` is when it was taken."""

    text: str
    filename: str | None = None
    time: Number | None = None


class InfillBody(Request):
    """The text between `input_prefix` with `prompt` behind it, and `input_suffix`."""

    input_prefix: str = Field(default="", description="What stands before the line of the gap.")
    input_suffix: str = Field(default="", description="What stands after the gap.")
    input_extra: list[Extra] | None = Field(
        default=None,
        max_length=1024,
        description="More to know; shown before the prefix, the newest as far as there is room.",
    )
    prompt: str = Field(default="", description="What stands on the gap's line before it.")
    n_predict: int | None = Field(
        default=None,
        ge=-1,
        lt=HUGE,
        description=f"The most tokens, up to a canvas; null and -1: {MAX_GAP}; 0: nothing is done.",
    )
    n_indent: int | None = Field(
        default=None,
        ge=0,
        lt=HUGE,
        description="The text ends before a line, after its first, that is indented less.",
    )
    t_max_predict_ms: Milliseconds | None = Field(
        default=None,
        description=(
            "With t_max_prompt_ms the time for everything; then the latest draft is returned. "
            "Under a limit fewer texts are tried. Null and 0: no limit."
        ),
    )
    t_max_prompt_ms: Milliseconds | None = Field(default=None, description="See t_max_predict_ms.")
    samplers: list[Sampler] | None = Field(
        default=None,
        max_length=32,
        description=(
            "Of the fields below, those named here are used, in one fixed order; null: all are."
        ),
    )
    temperature: Number | None = Field(
        default=None, description="0, or 0.01 to 100: a factor on the schedule of temperatures."
    )
    top_k: int | None = Field(default=None, lt=HUGE, description="0 and below: off.")
    top_p: Number | None = Field(default=None, description="1: off.")
    min_p: Number | None = Field(default=None, description="0: off.")
    repeat_penalty: Number | None = Field(default=None, gt=0, le=100, description="1: off.")
    presence_penalty: Number | None = Field(default=None, description="0: off.")
    frequency_penalty: Number | None = Field(default=None, description="0: off.")
    seed: int | None = Field(
        default=None, ge=-1, lt=HUGE, description="Null and -1 draw one, which the reply says."
    )
    stop: str | list[str] | None = Field(
        default=None, description="Up to 16 texts; what is written is cut before the first of them."
    )
    effort: Effort | None = Field(default=None, description="Here only: how many passes to spend.")
    stream: bool | None = Field(
        default=None, description="Whether the answer comes as server-sent events."
    )
    cache_prompt: bool | None = Field(
        default=None, description="Accepted: whole prompts are cached for everybody."
    )
    id_slot: int | None = Field(default=None, description="Comes back; there are no slots.")
    n_keep: int | None = Field(default=None, description="Accepted; changes nothing.")
    model: str | None = Field(
        default=None, description="The id of the served model, see /v1/models; null: that one."
    )
    response_fields: list[str] | None = Field(
        default=None,
        max_length=256,
        description='Fields to return, such as "content" and "timings/prompt_n"; others are not.',
    )
    n_probs: Literal[0] | None = Field(default=None, description="Only 0.")
    grammar: Unserved = None
    json_schema: Unserved = None
    lora: Unserved = None


class Timings(BaseModel):
    """All the time is in `predicted_ms`: a prompt and its gap are not timed apart."""

    prompt_n: int
    prompt_ms: float = 0.0
    prompt_per_token_ms: float = 0.0
    prompt_per_second: float = 0.0
    predicted_n: int
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float


class InfillSettings(BaseModel):
    """What was used; null: the model's own."""

    seed: int
    n_predict: int
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    stop: list[str]


class InfillReply(BaseModel):
    """A filled gap, or of it the fields that were asked for.

    stop_type  "word": cut at a stop string; "limit": all tokens or all the time were used; else
               "eos"
    notes      what was left out, in words
    """

    index: int = 0
    content: str
    id_slot: int
    stop: Literal[True] = True
    model: str
    tokens_predicted: int
    tokens_evaluated: int
    tokens_cached: int
    generation_settings: InfillSettings
    prompt: str
    has_new_line: bool
    truncated: bool
    stop_type: StopType
    stopping_word: str
    timings: Timings
    notes: list[str]
    usage: Usage
