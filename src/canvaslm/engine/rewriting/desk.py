"""What rewriting needs of a loaded model, of a request, and the prompt it asks with."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import torch

from canvaslm.cache.pages import Pool
from canvaslm.control.bias import Banned
from canvaslm.control.steering import Steering
from canvaslm.diffusion.step import Sampler
from canvaslm.engine.opening import Opening, encode_prompt
from canvaslm.engine.params import Params
from canvaslm.engine.prompt import read_prompt
from canvaslm.engine.rewriting.lengths import LengthBias
from canvaslm.engine.settings import Settings
from canvaslm.engine.steer import steer
from canvaslm.errors import ConstraintError, ContextLengthError, ParameterError
from canvaslm.model.network import Network
from canvaslm.tasks.code import GAP, fill_prompt
from canvaslm.text.tokenizer import Tokenizer

PLAIN_GAP = "[gap]"
"""How a document's own `<gap>` is shown to the model, which is to see one marker only."""

UNSERVED = {
    "max_tokens": "the length of what is written is given otherwise",
    "n": "there is one document; ask again with another seed",
    "thinking": "nothing but the text is written",
    "tools": "nothing but the text is written",
    "stop": "a text ends where the document goes on",
    "logprobs": "score the document with `LM.score`",
    "prompt_logprobs": "score the document with `LM.score`",
    "hold_settled": "of several texts the best is taken once all have settled",
}
"""Parameters that rewriting refuses, and why."""


def check_text(name: str, text: object) -> None:
    """Raises ParameterError for what is no string."""
    if not isinstance(text, str):
        raise ParameterError(f"{name} must be a text, got {text!r} of {type(text).__name__}")


class Desk(Protocol):
    """What rewriting takes, of a model."""

    @property
    def network(self) -> Network: ...
    @property
    def pool(self) -> Pool: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def length_bias(self) -> LengthBias:
        """What the model makes of the length of a gap where nothing can be known."""
        ...

    def clock(self) -> float:
        """Seconds."""
        ...


@dataclass(frozen=True, kw_only=True)
class Order:
    """A request's parameters, read."""

    params: Params
    sampler: Sampler
    seed: int

    @classmethod
    def of(cls, desk: Desk, params: Params | None, *, without: Sequence[str] = ()) -> Order:
        """Raises ParameterError for a parameter that rewriting does not serve; `without` names
        more of them."""
        given = params or Params()
        plain = Params()
        for field in fields(Params):
            if getattr(given, field.name) == getattr(plain, field.name):
                continue
            if field.name in UNSERVED:
                raise ParameterError(
                    f"{field.name} cannot be served here, {UNSERVED[field.name]}: leave it out"
                )
            if field.name in without:
                raise ParameterError(
                    f"{field.name} cannot be combined with this: leave it out, or use infill"
                )
        given.check_mode("diffusion")
        if given.effort == "quality":
            raise ParameterError(
                'effort="quality" would have no effect here: it drafts whole answers again, and '
                "a gap is already the best of several texts; leave it out"
            )
        return cls(
            params=given,
            sampler=desk.settings.sampler(given),
            seed=secrets.randbits(31) if given.seed is None else given.seed,
        )

    def steering(self, desk: Desk, *, room: int, ends: bool) -> Steering:
        """What the parameters ask for, in a text of `room` tokens; control tokens are ruled out,
        save, where the text `ends` by itself, those that close it."""
        tokenizer, eos_ids = desk.tokenizer, desk.settings.eos_ids
        device, size = desk.pool.device, desk.network.config.vocab_size
        try:
            asked = steer(
                replace(self.params, max_tokens=room),
                tokenizer=tokenizer,
                vocab_size=size,
                eos_ids=eos_ids,
                reading=None,
                device=device,
            )
        except ConstraintError as error:  # there is no max_tokens here
            said = str(error).replace("raise max_tokens", "allow a longer text")
            raise ConstraintError(said) from None
        empty = frozenset(range(tokenizer.vocab_size, size))
        mute = tokenizer.special_ids | empty | eos_ids
        banned = Banned(mute - eos_ids if ends else mute, device=device)
        found = asked or Steering()
        return replace(found, rules=[*found.rules, banned])


def ask(desk: Desk, before: str, after: str, *, note: str = "") -> Opening:
    """Encode a user's turn that asks for the text between `before` and `after`.

    `note` comes first, in lines of its own. The caller frees the prefix. Raises ContextLengthError
    where no canvas fits after it.
    """
    return open_prompt(desk, question(before, after, note=note))


def question(before: str, after: str, *, note: str = "") -> str:
    """The text of that turn; a `<gap>` of the document's own becomes `[gap]`."""
    prompt = fill_prompt(before.replace(GAP, PLAIN_GAP), after.replace(GAP, PLAIN_GAP))
    return f"{note}\n{prompt}" if note else prompt


def open_prompt(desk: Desk, prompt: str, *, canvases: int = 1) -> Opening:
    """Encode a user's turn that so many canvases are to fit after."""
    config = desk.network.config
    ids = read_prompt(prompt, tokenizer=desk.tokenizer, config=config)
    needed = len(ids) + canvases * config.canvas_length
    if needed > config.max_positions:
        raise ContextLengthError(
            f"the document makes a prompt of {len(ids)} tokens, with what is written {needed}; the "
            f"model's context is {config.max_positions}: give a part of the document"
        )
    with torch.inference_mode():
        return encode_prompt(desk.network, desk.pool, ids, top=None)
