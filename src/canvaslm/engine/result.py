"""What a request made, and what it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from canvaslm.engine.params import LogprobKind
from canvaslm.engine.scoring.token import TokenLogprob
from canvaslm.errors import MissingTokenizerError
from canvaslm.text.spans import Answer, Broken, Span, Thought, ToolCall

FinishReason = Literal["stop", "length"]
Text = TypeVar("Text")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one answer took.

    `steps` counts denoising passes, or left to right the passes that made a token; the passes that
    only write K/V are in `seconds`. `redrafts` counts canvases drafted again because they repeated
    themselves; their passes are in `steps`. `tokens_per_forward` is completion tokens over steps.
    `cached_tokens` are those of the prompt that were encoded before, for another request.
    """

    prompt_tokens: int
    completion_tokens: int
    canvases: int
    steps: int
    seconds: float
    redrafts: int = 0
    cached_tokens: int = 0
    tokens_per_forward: float = field(init=False)

    def __post_init__(self) -> None:
        rate = self.completion_tokens / self.steps if self.steps else 0.0
        object.__setattr__(self, "tokens_per_forward", rate)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One answer. `token_ids` ends with the closing token if there was one ("stop").

    `seed` is the one given, or the one drawn: with it the same request gives the same answer.
    `stop` is the stop string before which the answer was cut, None if it ended otherwise. The text
    is cut to the letter; `token_ids` end before the token in which the stop string begins, so of
    text and stop string in one token they have neither. `logprobs` has an entry for each of
    `token_ids`, of `logprobs_kind`; `prompt_logprobs` one for each token of the prompt, None for
    the first, which nothing predicts. Both are None where they were not asked for. `notes` say
    what a reader of the answer should know of it: that it repeats itself.
    """

    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    usage: Usage
    seed: int
    spans: Sequence[Span] | None = None
    stop: str | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    logprobs_kind: LogprobKind | None = None
    prompt_logprobs: tuple[TokenLogprob | None, ...] | None = None
    notes: tuple[str, ...] = ()
    others: tuple[Result, ...] = field(default=(), repr=False)

    @property
    def choices(self) -> tuple[Result, ...]:
        """All answers to a request for `n`: this one first, then `others`."""
        return (self, *self.others)

    @property
    def text(self) -> str:
        """The answer, without thoughts, tool calls and control tokens.

        Raises MissingTokenizerError without a tokenizer, as the other readings do.
        """
        return "".join(span.text for span in need_text(self.spans) if isinstance(span, Answer))

    @property
    def thoughts(self) -> str:
        """What the model thought before it answered."""
        return "".join(span.text for span in need_text(self.spans) if isinstance(span, Thought))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The whole and readable tool calls, in order."""
        return tuple(span for span in need_text(self.spans) if isinstance(span, ToolCall))

    @property
    def broken(self) -> tuple[Broken, ...]:
        """Thoughts and tool calls that did not end or cannot be read, and why."""
        return tuple(span for span in need_text(self.spans) if isinstance(span, Broken))


def need_text(decoded: Text | None) -> Text:
    if decoded is None:
        raise MissingTokenizerError(
            "the checkpoint has no tokenizer.json, so there is no text: use token_ids, or put the "
            "model's tokenizer.json into its folder"
        )
    return decoded
