"""llama.cpp's shape of a gap: its fields as a `Gap`, and what was written as its reply."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from canvaslm.engine.events import Draft
from canvaslm.engine.lm import LM
from canvaslm.engine.params import Params
from canvaslm.engine.prompt import read_prompt
from canvaslm.engine.rewriting.desk import question
from canvaslm.engine.rewriting.infill import Infilled
from canvaslm.engine.rewriting.rewriter import MAX_GAP
from canvaslm.server.asking.gaps import HURRIED, Gap, cut, rules_for, usage_of, written
from canvaslm.server.asking.params import naming
from canvaslm.server.schema.infill import (
    Extra,
    InfillBody,
    InfillReply,
    InfillSettings,
    StopType,
    Timings,
)

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Order:
    """A gap as it was asked for; `seconds` that it may take, None: any time."""

    body: InfillBody
    gap: Gap
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        return time_limit(self.body)


def time_limit(body: InfillBody) -> float | None:
    """Seconds for everything; None: no limit."""
    milliseconds = (body.t_max_predict_ms or 0) + (body.t_max_prompt_ms or 0)
    return milliseconds / 1000 if body.t_max_predict_ms else None


def read_order(body: InfillBody, lm: LM) -> Order:
    """Raises ApiError naming the field at fault."""
    params = read_params(body)
    before, extra = body.input_prefix + body.prompt, body.input_extra or []
    shown = choose(extra, room=room_beside(before, body.input_suffix, lm), lm=lm) if extra else []
    left = len(extra) - len(shown)
    note = f"{left} of {len(extra)} pieces of input_extra were left out: there was no room for them"
    gap = Gap(
        before="".join(shown) + before,
        after=body.input_suffix,
        most=body.n_predict if body.n_predict and body.n_predict > 0 else MAX_GAP,
        params=params,
        rules=rules_for(params) if time_limit(body) is None else HURRIED,
    )
    return Order(body=body, gap=gap, notes=(note,) if left else ())


def room_beside(before: str, after: str, lm: LM) -> int:
    """Tokens that the context has left beside this document and a canvas."""
    prompt = read_prompt(question(before, after), tokenizer=lm.tokenizer, config=lm.config)
    return lm.config.max_positions - lm.config.canvas_length - len(prompt)


def read_params(body: InfillBody) -> Params:
    """What samples: each sampler with a number that does something, if the body's list has it."""
    given: Json = {
        "top_k": body.top_k if body.top_k and body.top_k > 0 else None,
        "top_p": None if body.top_p == 1 else body.top_p,
        "min_p": body.min_p or None,
        "temperature": body.temperature,
    }
    penalties: Json = {
        "repetition_penalty": None if body.repeat_penalty == 1 else body.repeat_penalty,
        "presence_penalty": body.presence_penalty or None,
        "frequency_penalty": body.frequency_penalty or None,
    }
    if body.samplers is not None:
        given = {name: value for name, value in given.items() if name in body.samplers}
        penalties = penalties if "penalties" in body.samplers else {}
    drawn = body.seed is None or body.seed < 0
    seed = secrets.randbits(31) if drawn else body.seed
    with naming(InfillBody.model_fields):
        Params(stop=body.stop or None)  # checked; what is written is cut afterwards
        return Params(**given, **penalties, seed=seed, effort=body.effort)


def choose(extra: Sequence[Extra], *, room: int, lm: LM) -> list[str]:
    """The newest pieces that fit into so many tokens, the oldest of them first."""
    aged = sorted(enumerate(extra), key=lambda pair: (pair[1].time or 0.0, pair[0]))
    chosen: list[str] = []
    for _, piece in reversed(aged):
        text = (f"# {piece.filename}\n" if piece.filename else "") + piece.text + "\n"
        room -= len(lm.tokenizer.encode(text, special=False)) + 1  # tokens may join otherwise
        if room < 0:
            break
        chosen.insert(0, text)
    return chosen


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was written. `value` is the whole of it, or the last draft when the time was over."""

    order: Order
    value: Infilled | Draft | None
    seconds: float

    @property
    def content(self) -> str:
        return self._cut[0]

    @property
    def _cut(self) -> tuple[str, str | None]:
        text, stop = cut(self._text, self.order.body.stop)
        level = cut_indent(text, self.order.body.n_indent or 0)
        return (text, stop) if level == text else (level, None)

    @property
    def _text(self) -> str:
        if isinstance(self.value, Draft):
            return settled(self.value).text
        return self.value.text if self.value else ""

    @property
    def tokens(self) -> int:
        if isinstance(self.value, Draft):
            return len(settled(self.value).token_ids)
        return self.value.gap_tokens if self.value else 0

    def stop_type(self, lm: LM) -> StopType:
        text, stop = self._cut
        if stop is not None:
            return "word"
        late = not isinstance(self.value, Infilled)
        full = self.tokens >= self.order.gap.length(lm) or text != self._text
        return "limit" if late or full else "eos"

    def reply(self, lm: LM, *, model: str) -> InfillReply:
        body, params = self.order.body, self.order.gap.params
        whole = self.value if isinstance(self.value, Infilled) else None
        usage = usage_of(whole or nothing(self.order.gap, tokens=self.tokens))
        return InfillReply(
            content=self.content,
            id_slot=body.id_slot or 0,
            model=model,
            tokens_predicted=self.tokens,
            tokens_evaluated=usage.prompt_tokens,
            tokens_cached=usage.prompt_tokens_details.cached_tokens,
            generation_settings=settings_of(params, body),
            prompt=body.prompt,
            has_new_line="\n" in self.content,
            truncated=bool(self.order.notes),
            stop_type=self.stop_type(lm),
            stopping_word=self._cut[1] or "",
            timings=timings(usage.prompt_tokens, self.tokens, self.seconds),
            notes=list(self.order.notes),
            usage=usage,
        )


def settled(draft: Draft) -> Draft:
    """The beginning of a draft that is accepted."""
    own = written(draft)
    end = next((place for place, kept in enumerate(own.accepted) if not kept), len(own.accepted))
    return written(replace(own, own=end))


def nothing(gap: Gap, *, tokens: int) -> Infilled:
    """What stands for a gap that was given up."""
    return Infilled(
        text="",
        document=gap.before + gap.after,
        gap_tokens=tokens,
        candidates={},
        confidence={},
        steps=0,
        seconds=0.0,
        seed=gap.params.seed or 0,
    )


def cut_indent(text: str, least: int) -> str:
    """The text before the first line, after its first, that is indented less than `least`."""
    first, *lines = text.split("\n")
    kept = [first]
    for line in lines:
        if line.strip() and len(line) - len(line.lstrip()) < least:
            break
        kept.append(line)
    return "\n".join(kept)


def settings_of(params: Params, body: InfillBody) -> InfillSettings:
    return InfillSettings(
        seed=params.seed or 0,
        n_predict=-1 if body.n_predict is None else body.n_predict,
        temperature=params.temperature,
        top_k=params.top_k,
        top_p=params.top_p,
        min_p=params.min_p,
        stop=[body.stop] if isinstance(body.stop, str) else body.stop or [],
    )


def timings(prompt: int, tokens: int, seconds: float) -> Timings:
    return Timings(
        prompt_n=prompt,
        predicted_n=tokens,
        predicted_ms=1000 * seconds,
        predicted_per_token_ms=1000 * seconds / tokens if tokens else 0.0,
        predicted_per_second=tokens / seconds if seconds else 0.0,
    )


def pick(reply: Json, fields: Sequence[str] | None) -> Json:
    """The fields that were asked for, by their paths; those that are not there are left out."""
    if fields is None:
        return reply
    picked: Json = {}
    for path in fields:
        found: Any = reply
        for key in path.split("/"):
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is not None:
            picked[path] = found
    return picked
