"""What a request made, and what it took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from canvaslm.errors import MissingTokenizerError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one answer took.

    `steps` counts denoising passes, or left to right the passes that made a token; the passes that
    only write K/V are in `seconds`. `tokens_per_forward` is completion tokens over steps.
    """

    prompt_tokens: int
    completion_tokens: int
    canvases: int
    steps: int
    seconds: float
    tokens_per_forward: float = field(init=False)

    def __post_init__(self) -> None:
        rate = self.completion_tokens / self.steps if self.steps else 0.0
        object.__setattr__(self, "tokens_per_forward", rate)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One answer. `token_ids` ends with the closing token if there was one ("stop").

    `seed` is the one given, or the one drawn: with it the same request gives the same answer.
    """

    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    usage: Usage
    seed: int
    decoded: str | None = None

    @property
    def text(self) -> str:
        """The answer without control tokens. Raises MissingTokenizerError without a tokenizer."""
        return need_text(self.decoded)


def need_text(decoded: str | None) -> str:
    if decoded is None:
        raise MissingTokenizerError(
            "the checkpoint has no tokenizer.json, so there is no text: use token_ids, or put the "
            "model's tokenizer.json into its folder"
        )
    return decoded
