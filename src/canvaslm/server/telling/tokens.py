"""Whose each token of an answer is, and what an answer took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from canvaslm.engine.result import Result
from canvaslm.text.controls import CHANNEL, CHANNEL_END, TOOL_CALL, TOOL_CALL_END
from canvaslm.text.tokenizer import Tokenizer

Json = dict[str, Any]
IMPOSSIBLE = -9999.0  # JSON has no minus infinity; OpenAI writes this

Owner = Literal["answer", "thought", "call", "mark"]


def owners(ids: Sequence[int], tokenizer: Tokenizer) -> Iterator[Owner]:
    """Whose each token is; control tokens are marks, save inside a call."""
    starts: dict[int | None, Owner] = {
        tokenizer.token_id(CHANNEL): "thought",
        tokenizer.token_id(TOOL_CALL): "call",
    }
    ends: dict[Owner, int | None] = {
        "thought": tokenizer.token_id(CHANNEL_END),
        "call": tokenizer.token_id(TOOL_CALL_END),
    }
    owner: Owner = "answer"
    for id in ids:
        if id in starts:
            owner = starts[id]
            yield "mark"
        elif id == ends.get(owner):
            owner = "answer"
            yield "mark"
        else:
            yield "mark" if owner != "call" and id in tokenizer.special_ids else owner


def count_reasoning(result: Result, tokenizer: Tokenizer | None) -> int:
    """Tokens of thoughts, without those that open and close them."""
    if tokenizer is None:
        return 0
    return sum(owner == "thought" for owner in owners(result.token_ids, tokenizer))


def sum_usage(
    results: Sequence[Result], tokenizer: Tokenizer | None, *, prompt: int, cached: int
) -> Json:
    """What answers took together, in OpenAI's shape; of the `prompt` tokens `cached` were known."""
    usages = [result.usage for result in results]
    completion = sum(usage.completion_tokens for usage in usages)
    reasoning = sum(count_reasoning(result, tokenizer) for result in results)
    steps = sum(usage.steps for usage in usages)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
        "steps": steps,
        "canvases": sum(usage.canvases for usage in usages),
        "tokens_per_forward": completion / steps if steps else 0.0,
    }
