"""A gap to be filled, as /v1/fim/completions and /infill ask for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from canvaslm.engine.events import Draft
from canvaslm.engine.lm import LM
from canvaslm.engine.params import Params
from canvaslm.engine.rewriting.edit import Edited
from canvaslm.engine.rewriting.infill import DEFAULT, GapRules, Infilled
from canvaslm.engine.rewriting.repair import Repaired
from canvaslm.engine.rewriting.write import Watch
from canvaslm.errors import ContextLengthError
from canvaslm.server.asking.params import (
    build,
    check_size,
    constraint_field,
    naming,
    read_constraint,
    read_sampling,
)
from canvaslm.server.errors import ApiError
from canvaslm.server.schema.common import CompletionDetails, PromptDetails, Sampling, Usage
from canvaslm.server.settings import Settings

FAST = GapRules(keep=1, sketch=False)
HURRIED = replace(FAST, heal=False)
"""What fits into a time limit: one text, whose drafts are the gap's own tokens."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """What stands before and after a gap of at most `most` tokens, as far as a canvas has room."""

    before: str
    after: str
    most: int
    params: Params
    rules: GapRules = DEFAULT

    def length(self, lm: LM) -> int:
        """The most tokens that may be written: one place of a canvas closes it."""
        return min(self.most, lm.config.canvas_length - 1)

    def __call__(self, lm: LM, watch: Watch | None) -> Infilled:
        """Fill it: work for the engine."""
        return lm.rewriter.infill(
            self.before,
            self.after,
            max_gap=self.length(lm),
            params=self.params,
            rules=self.rules,
            watch=watch,
        )


@contextmanager
def blaming(document: str, fields: Collection[str]) -> Iterator[None]:
    """Errors of parameters inside become ApiErrors that name one of `fields`, or `document`, which
    is named, too, where there is too much of it."""
    with naming(fields, otherwise=document):
        try:
            yield
        except ContextLengthError as error:
            code = "context_length_exceeded"
            raise ApiError(str(error), param=document, code=code) from None


def check_document(name: str, size: int, lm: LM, settings: Settings) -> None:
    """Raise ApiError for a document of more characters than the context can hold, whatever its
    tokens are: the engine's thread need not count those to know."""
    check_size(name, size, min(settings.prompt, lm.config.max_positions * lm.tokenizer.longest))


def rules_for(params: Params) -> GapRules:
    """How much is tried."""
    return FAST if params.effort == "fast" else DEFAULT


def read_params(body: Sampling, lm: LM, settings: Settings) -> Params:
    """What rewriting serves of the fields of a body, its automaton built, which the engine's thread
    then need not do. Raises ApiError naming the field at fault."""
    with naming(type(body).model_fields, otherwise=constraint_field(body)):
        given: dict[str, Any] = read_sampling(body)
        Params(stop=given.pop("stop"))  # checked; what is written is cut afterwards
        params = Params(**given, constraint=read_constraint(body, None, settings))
        if params.constraint is not None:
            build(params.constraint, lm, moves=settings.moves)
        return params


def written(draft: Draft) -> Draft:
    """The part of a draft that is being written, without the text after it that is shown."""
    own = slice(draft.own)
    return replace(
        draft,
        token_ids=draft.token_ids[own],
        entropy=draft.entropy[own],
        accepted=draft.accepted[own],
        noisy_ids=draft.noisy_ids[own],
    )


def usage_of(done: Infilled | Edited | Repaired) -> Usage:
    """What rewriting took, in the shape of all endpoints; it writes on one canvas."""
    tokens = done.gap_tokens if isinstance(done, Infilled) else done.tokens
    return Usage(
        prompt_tokens=done.prompt_tokens,
        completion_tokens=tokens,
        total_tokens=done.prompt_tokens + tokens,
        prompt_tokens_details=PromptDetails(cached_tokens=done.cached_tokens),
        completion_tokens_details=CompletionDetails(reasoning_tokens=0),
        steps=done.steps,
        canvases=1,
        tokens_per_forward=tokens / done.steps if done.steps else 0.0,
    )


def cut(text: str, stops: str | Sequence[str] | None) -> tuple[str, str | None]:
    """The text before the first stop string in it, and which that is."""
    listed = [stops] if isinstance(stops, str) else stops or ()
    found = [(text.index(stop), stop) for stop in listed if stop in text]
    place, stop = min(found, default=(len(text), None), key=lambda pair: pair[0])
    return text[:place], stop
