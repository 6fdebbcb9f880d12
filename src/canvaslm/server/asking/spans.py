"""A span to be edited, or a text to be repaired, as /v1/edits asks for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from canvaslm.engine.lm import LM
from canvaslm.engine.params import Params
from canvaslm.engine.rewriting.edit import Edited, check_span
from canvaslm.engine.rewriting.repair import Repaired
from canvaslm.engine.rewriting.rewriter import DOUBT, ROUNDS, STRENGTH
from canvaslm.engine.rewriting.write import Watch
from canvaslm.errors import ParameterError
from canvaslm.server.asking.gaps import usage_of
from canvaslm.server.errors import ApiError
from canvaslm.server.schema.edits import EditReply, EditsBody, RepairReply

Json = dict[str, Any]
OF_EDITS = (
    *("span", "find", "instruction", "strength"),
    *("regex", "choice", "grammar", "canvas_events"),
)
OF_REPAIRS = ("prompt", "doubt", "rounds")


@dataclass(frozen=True, kw_only=True)
class Editing:
    """A span to be written anew."""

    text: str
    span: tuple[int, int]
    instruction: str | None
    strength: float
    params: Params

    def __call__(self, lm: LM, watch: Watch | None) -> Edited:
        """Write it: work for the engine."""
        return lm.rewriter.edit(
            self.text,
            self.span,
            instruction=self.instruction,
            strength=self.strength,
            params=self.params,
            watch=watch,
        )

    def reply(self, done: object, head: Json) -> EditReply:
        assert isinstance(done, Edited)
        start = self.span[0]
        return EditReply(
            **head,
            text=done.text,
            before=done.before,
            document=done.document,
            span=[start, start + len(done.text)],
            noised=done.noised,
            seed=done.seed,
            usage=usage_of(done),
        )


@dataclass(frozen=True, kw_only=True)
class Repairing:
    """A text to be repaired."""

    text: str
    prompt: str | None
    doubt: float
    rounds: int
    params: Params

    def __call__(self, lm: LM, watch: Watch | None) -> Repaired:
        """Repair it: work for the engine."""
        return lm.rewriter.repair(
            self.text,
            prompt=self.prompt,
            doubt=self.doubt,
            rounds=self.rounds,
            params=self.params,
            watch=watch,
        )

    def reply(self, done: object, head: Json) -> RepairReply:
        assert isinstance(done, Repaired)
        return RepairReply.model_validate(
            {
                **head,
                "document": done.text,
                "changes": [asdict(change) for change in done.changes],
                "logprob_before": done.logprob_before,
                "logprob": done.logprob,
                "rounds": done.rounds,
                "seed": done.seed,
                "usage": usage_of(done),
            }
        )


Work = Editing | Repairing


def read_work(body: EditsBody, params: Params) -> Work:
    """What is to be done. Raises ApiError for fields that have no place in it, and for the span."""
    idle = OF_EDITS if body.repair else OF_REPAIRS
    for name in idle:
        if getattr(body, name) not in (None, False):
            where = "in a repair" if body.repair else "without repair"
            raise ApiError(f"{name} would have no effect {where}: leave it out", param=name)
    if body.repair:
        return Repairing(
            text=body.text,
            prompt=body.prompt,
            doubt=DOUBT if body.doubt is None else body.doubt,
            rounds=ROUNDS if body.rounds is None else body.rounds,
            params=params,
        )
    return Editing(
        text=body.text,
        span=read_span(body),
        instruction=body.instruction,
        strength=STRENGTH if body.strength is None else body.strength,
        params=params,
    )


def read_span(body: EditsBody) -> tuple[int, int]:
    """The span in characters. Raises ApiError."""
    if (body.span is None) == (body.find is None):
        raise ApiError("give either span or find", param="span", code="invalid_value")
    if body.find is not None:
        return find(body.text, body.find)
    assert body.span is not None
    try:
        return check_span(body.text, (body.span[0], body.span[1]))
    except ParameterError as error:
        raise ApiError(str(error), param="span", code="invalid_value") from None


def find(text: str, sought: str) -> tuple[int, int]:
    """Where a text stands that is there once. Raises ApiError."""
    start = text.find(sought)
    again = text.find(sought, start + 1) if start >= 0 else -1
    if start < 0 or again >= 0:
        what = "is not in the text" if start < 0 else f"is there at {start} and again at {again}"
        raise ApiError(
            f"find {what}: give a longer piece that is there exactly once, or a span",
            param="find",
            code="invalid_value",
        )
    return start, start + len(sought)
