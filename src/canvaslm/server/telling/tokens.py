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


def show_usage(result: Result, tokenizer: Tokenizer | None) -> Json:
    """What an answer took, as a response has it."""
    usage = result.usage
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": count_reasoning(result, tokenizer)},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "steps": usage.steps,
        "canvases": usage.canvases,
        "tokens_per_forward": usage.tokens_per_forward,
    }
