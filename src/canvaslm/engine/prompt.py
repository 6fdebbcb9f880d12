"""What a caller may give as a prompt, brought to checked token ids."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from canvaslm.engine.params import Mode
from canvaslm.errors import ContextLengthError, MissingTokenizerError, ParameterError
from canvaslm.model.config import ModelConfig
from canvaslm.text.messages import Message
from canvaslm.text.tokenizer import Tokenizer

Ids = Sequence[int] | Tensor
Prompt = str | Sequence[Message] | Ids


def read_prompt(
    prompt: Prompt, *, tokenizer: Tokenizer | None, config: ModelConfig
) -> tuple[int, ...]:
    """The ids of a prompt: token ids as they are, messages and text through the chat template.

    Text is a user's turn where the checkpoint has a template, else it is encoded after bos. Raises
    ParameterError for what is neither, MissingTokenizerError for text without a tokenizer,
    TemplateError for messages that the template refuses.
    """
    if isinstance(prompt, Tensor):
        return check_ids(prompt.flatten().tolist(), config) if prompt.ndim else refuse(prompt)
    if isinstance(prompt, str):
        return check_ids(read_text(prompt, need_tokenizer(tokenizer)), config)
    if isinstance(prompt, Mapping | bytes) or not isinstance(prompt, Sequence):
        return refuse(prompt)
    if prompt and isinstance(prompt[0], Mapping):
        messages = cast(Sequence[Message], prompt)
        return check_ids(need_tokenizer(tokenizer).render(messages), config)
    return check_ids(prompt, config)


def read_text(text: str, tokenizer: Tokenizer) -> list[int]:
    if tokenizer.template is not None:
        return tokenizer.render([{"role": "user", "content": text}])
    bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    return bos + tokenizer.encode(text)


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
    if not listed or not isinstance(listed[0], Sequence):
        listed = [listed]
    if len({len(row) for row in listed}) > 1 or not listed[0]:
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
