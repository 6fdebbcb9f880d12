"""A model as `lm-eval` wants one: `lm_eval.simple_evaluate(model=harness(lm), tasks=[...])`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from canvaslm.engine.params import Effort, Mode, Params
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm.engine.lm import LM
    from canvaslm.text.messages import Message

_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens")
_KNOWN = {*_LENGTHS, "until", "temperature", "top_p", "top_k", "do_sample"}


@dataclass(frozen=True, kw_only=True)
class Requests:
    """The three kinds of request, on plain values. Control strings in a context are control tokens,
    since a rendered chat template comes as text; those in a continuation stay text."""

    lm: LM
    mode: Mode = "diffusion"
    effort: Effort | None = None
    seed: int = 0
    max_tokens: int = 256

    def likelihood(self, context: str, continuation: str) -> tuple[float, bool]:
        """Its log-probability left to right, and whether each of its tokens is the likeliest.

        Spaces at the end of the context belong to the continuation. A context that is too long
        loses its start.
        """
        kept = context.rstrip() if context else ""
        said = context[len(kept) :] + continuation
        before = self._context(kept)
        room = self.lm.config.max_positions
        ids = self.lm.tokenizer.encode(said, special=False)
        if not ids:
            return 0.0, True
        if len(ids) >= room:
            raise ParameterError(
                f"a continuation of {len(ids)} tokens does not fit the model's context of {room}"
            )
        return self._score(before[-(room - len(ids)) :], ids)

    def rolling(self, text: str) -> float:
        """The log-probability of a text of any length: each token once, after bos and all that the
        context holds of what stands before it, half of it at least."""
        ids = [*self._start(), *self.lm.tokenizer.encode(text, special=False)]
        room, total, place = self.lm.config.max_positions, 0.0, 1
        while place < len(ids):
            end = min(len(ids), place + (room - 1 if place == 1 else room // 2))
            total += self._score(ids[max(0, end - room) : place], ids[place:end])[0]
            place = end
        return total

    def generate(self, context: str, options: Mapping[str, Any]) -> str:
        """What follows a context, up to the first of the stop strings. Raises ParameterError for
        an option that is not known here."""
        unknown = sorted(options.keys() - _KNOWN)
        if unknown:
            raise ParameterError(
                f"generation_kwargs {', '.join(unknown)} would have no effect: expected "
                f"{', '.join(sorted(_KNOWN))}"
            )
        given = self.params(options)
        ids, room = self._context(context), self._room(given.max_tokens)
        return self.lm.generate(ids[-room:], params=given, mode=self.mode).text

    def params(self, options: Mapping[str, Any]) -> Params:
        """Without `do_sample` and temperature the likeliest tokens are taken, as lm-eval has it."""
        until = options.get("until") or []
        stops = [until] if isinstance(until, str) else [stop for stop in until if stop]
        lengths = [options[name] for name in _LENGTHS if options.get(name) is not None]
        greedy = not options.get("do_sample", bool(options.get("temperature")))
        return Params(
            max_tokens=int(lengths[0]) if lengths else self.max_tokens,
            seed=self.seed,
            stop=stops or None,
            temperature=0.0 if greedy else options.get("temperature", 1.0),
            effort=self.effort,
            top_p=None if greedy else options.get("top_p"),
            top_k=None if greedy else options.get("top_k"),
        )

    def render(self, messages: Sequence[Message], *, answer: bool = True) -> str:
        """Messages as the chat template writes them. Raises ParameterError without `answer`, which
        would leave an assistant's message open: the template closes each."""
        if not answer:
            raise ParameterError("the chat template cannot leave an assistant's message open")
        return self.lm.tokenizer.decode(self.lm.tokenizer.render(messages), special=True)

    def _start(self) -> list[int]:
        """What stands before a text: bos, or eos where there is none."""
        bos = self.lm.tokenizer.bos_id
        return [self.lm.config.eos_ids[0] if bos is None else bos]

    def _context(self, text: str) -> list[int]:
        ids, start = self.lm.tokenizer.encode(text), self._start()
        return ids if ids[:1] == start else start + ids

    def _room(self, answer: int) -> int:
        canvas = self.lm.config.canvas_length if self.mode == "diffusion" else 1
        return max(1, self.lm.config.max_positions - -(-answer // canvas) * canvas)

    def _score(self, before: Sequence[int], ids: Sequence[int]) -> tuple[float, bool]:
        scores = self.lm.score(before, continuation=ids, top=1)
        greedy = all(token.top[0][0] == token.token_id for token in scores.tokens)
        return scores.sum, greedy


def harness(
    lm: LM,
    *,
    mode: Mode = "diffusion",
    effort: Effort | None = None,
    seed: int = 0,
    max_tokens: int = 256,
) -> Any:
    """An `lm_eval.api.model.LM` that asks `lm`. Likelihoods are left to right in either mode.

    Raises ParameterError where lm-eval is not installed.
    """
    try:
        base: Any = import_module("lm_eval.api.model").LM
    except ImportError:
        raise ParameterError(
            "lm-eval is not installed in this environment: pip install lm-eval"
        ) from None
    requests = Requests(lm=lm, mode=mode, effort=effort, seed=seed, max_tokens=max_tokens)
    return _made(base)(requests)


def _made(base: Any) -> Any:
    class Harness(base):  # type: ignore[misc]
        tokenizer_name = "canvaslm"

        def __init__(self, requests: Requests) -> None:
            super().__init__()
            self.requests = requests

        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            return self._each("loglikelihood", self.requests.likelihood, requests)

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            return self._each("loglikelihood_rolling", self.requests.rolling, requests)

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            return self._each("generate_until", self.requests.generate, requests)

        def _each(self, kind: str, ask: Any, requests: Sequence[Any]) -> list[Any]:
            answers = []
            for request in requests:
                answers.append(ask(*request.args))
                self.cache_hook.add_partial(kind, request.args, answers[-1])
            return answers

        def apply_chat_template(
            self, chat_history: Sequence[Message], add_generation_prompt: bool = True
        ) -> str:
            return self.requests.render(chat_history, answer=add_generation_prompt)

    return Harness
