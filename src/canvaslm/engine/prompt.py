"""What a caller may give as a prompt, brought to checked token ids."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor

from canvaslm.engine.params import Mode
from canvaslm.errors import ContextLengthError, MissingTokenizerError, ParameterError
from canvaslm.model.config import ModelConfig
from canvaslm.text.messages import Message
from canvaslm.text.tokenizer import Tokenizer

Ids = Sequence[int] | Tensor
Prompt = str | Sequence[Message] | Ids


@dataclass(frozen=True, kw_only=True)
class TemplateOptions:
    """What a chat template writes beside the messages."""

    thinking: bool = False
    tools: Sequence[Mapping[str, Any]] | None = None


PLAIN = TemplateOptions()


def read_prompt(
    prompt: Prompt,
    *,
    tokenizer: Tokenizer | None,
    config: ModelConfig,
    options: TemplateOptions = PLAIN,
) -> tuple[int, ...]:
    """The ids of a prompt: token ids as they are, messages and text through the chat template.

    Text is a user's turn where the checkpoint has a template, else it is encoded after bos. Raises
    ParameterError for what is neither and for `options` that would have no effect,
    MissingTokenizerError for text without a tokenizer, TemplateError for messages that the
    template refuses.
    """
    if isinstance(prompt, str) or is_conversation(prompt):
        return check_ids(read_text(prompt, need_tokenizer(tokenizer), options), config)
    if options != PLAIN:
        raise ParameterError(
            "thinking and tools are written into the prompt by the chat template, and a prompt of "
            "token ids is past it: give text or messages"
        )
    if isinstance(prompt, Tensor):
        return check_ids(prompt.flatten().tolist(), config) if prompt.ndim else refuse(prompt)
    if isinstance(prompt, Mapping | bytes) or not isinstance(prompt, Sequence):
        return refuse(prompt)
    return check_ids(prompt, config)


def is_conversation(prompt: Prompt) -> TypeGuard[Sequence[Message]]:
    return (
        isinstance(prompt, Sequence)
        and not isinstance(prompt, bytes)
        and len(prompt) > 0
        and isinstance(prompt[0], Mapping)
    )


def read_text(
    prompt: str | Sequence[Message], tokenizer: Tokenizer, options: TemplateOptions
) -> list[int]:
    if isinstance(prompt, str):
        if tokenizer.template is None and options == PLAIN:
            bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
            return bos + tokenizer.encode(prompt)
        prompt = [{"role": "user", "content": prompt}]
    ids = tokenizer.render(prompt, thinking=options.thinking, tools=options.tools)
    if options != PLAIN and ids == tokenizer.render(prompt):
        raise ParameterError(
            "the model's chat template knows neither thinking nor tools: leave them out, or use a "
            "model that was trained with them"
        )
    return ids


def need_tokenizer(tokenizer: Tokenizer | None) -> Tokenizer:
    """The tokenizer. Raises MissingTokenizerError if there is none."""
    if tokenizer is None:
        raise MissingTokenizerError(
            "the checkpoint has no tokenizer.json, so it cannot read or write text: give token "
            "ids, or put the model's tokenizer.json into its folder"
        )
    return tokenizer


def refuse(prompt: object) -> tuple[int, ...]:
    raise ParameterError(
        f"a prompt must be text, a list of messages or a list of token ids, got "
        f"{type(prompt).__name__}"
    )


def check_ids(ids: Sequence[object], config: ModelConfig) -> tuple[int, ...]:
    """`ids` as plain ints. Raises ParameterError naming one that is no token of the model."""
    checked = []
    for place, id in enumerate(ids):
        try:
            number = operator.index(id)  # type: ignore[arg-type]
        except TypeError:
            number = -1
        if isinstance(id, bool) or not 0 <= number < config.vocab_size:
            raise ParameterError(
                f"token {place} of the prompt is {id!r}, expected an id in [0, {config.vocab_size})"
            )
        checked.append(number)
    return tuple(checked)


def check_rows(
    rows: Sequence[int] | Sequence[Sequence[int]] | Tensor, config: ModelConfig
) -> Tensor:
    """Ids [N] or [B, N] as an int64 tensor [B, N]. Raises ParameterError if they are not that."""
    listed: list[Any] = rows.tolist() if isinstance(rows, Tensor) else list(rows)
    if not any(isinstance(row, Sequence) for row in listed):
        listed = [listed]
    lengths = {len(row) if isinstance(row, Sequence) else 0 for row in listed}
    if len(lengths) > 1 or 0 in lengths:
        raise ParameterError("ids must be one or more rows of the same length, 1 token or longer")
    return torch.tensor([check_ids(row, config) for row in listed])


def check_length(prompt: int, *, answer: int, mode: Mode, config: ModelConfig) -> None:
    """Raise ContextLengthError if prompt and answer do not fit; diffusion fills whole canvases."""
    canvas = config.canvas_length if mode == "diffusion" else 1
    needed, limit = -(-answer // canvas) * canvas, config.max_positions
    if prompt + needed <= limit:
        return
    room = max(limit - prompt, 0) // canvas * canvas
    unit = f" ({needed // canvas} canvases of {canvas})" if canvas > 1 else ""
    raise ContextLengthError(
        f"the prompt has {prompt} tokens and the answer may take {needed}{unit}, together "
        f"{prompt + needed}; the model's context is {limit}: "
        + (
            f"set max_tokens to at most {room}"
            if room
            else f"shorten the prompt by {prompt + canvas - limit} tokens or more"
        )
    )
