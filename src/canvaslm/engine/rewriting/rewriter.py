"""A loaded model as an editor: it fills gaps, edits spans and repairs texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from canvaslm.cache.pages import Pool
from canvaslm.engine.params import Params
from canvaslm.engine.rewriting.bias import fit_bias
from canvaslm.engine.rewriting.document import InfilledDocument, infill_document
from canvaslm.engine.rewriting.edit import Edited, edit
from canvaslm.engine.rewriting.infill import DEFAULT, GapRules, Infilled, infill
from canvaslm.engine.rewriting.lengths import LengthBias
from canvaslm.engine.rewriting.repair import Repaired, repair
from canvaslm.engine.rewriting.write import Watch
from canvaslm.engine.settings import Settings
from canvaslm.model.network import Network
from canvaslm.text.tokenizer import Tokenizer

MAX_GAP = 64
STRENGTH = 0.5
DOUBT = 4.0
ROUNDS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Rewriter:
    """A `Desk`. `LM` has the same methods, without what only studies need."""

    network: Network
    pool: Pool
    settings: Settings
    tokenizer: Tokenizer
    clock: Callable[[], float]

    @cached_property
    def length_bias(self) -> LengthBias:
        """Fitted when first needed."""
        return fit_bias(self)

    def infill(
        self,
        prefix: str,
        suffix: str,
        *,
        max_gap: int = MAX_GAP,
        gap: int | None = None,
        params: Params | None = None,
        rules: GapRules = DEFAULT,
        watch: Watch | None = None,
    ) -> Infilled:
        """`LM.infill` with other rules, or watched."""
        return infill(
            self, prefix, suffix, max_gap=max_gap, gap=gap, params=params, rules=rules, watch=watch
        )

    def infill_document(
        self,
        parts: str | Sequence[str],
        *,
        max_gap: int = MAX_GAP,
        params: Params | None = None,
        rules: GapRules = DEFAULT,
        watch: Watch | None = None,
    ) -> InfilledDocument:
        """`LM.infill_document` with other rules, or watched."""
        return infill_document(
            self, parts, max_gap=max_gap, params=params, rules=rules, watch=watch
        )

    def edit(
        self,
        text: str,
        span: tuple[int, int],
        *,
        instruction: str | None = None,
        strength: float = STRENGTH,
        params: Params | None = None,
        watch: Watch | None = None,
    ) -> Edited:
        """`LM.edit`, watched."""
        return edit(
            self,
            text,
            span,
            instruction=instruction,
            strength=strength,
            params=params,
            watch=watch,
        )

    def repair(
        self,
        text: str,
        *,
        prompt: str | None = None,
        doubt: float = DOUBT,
        rounds: int = ROUNDS,
        params: Params | None = None,
        watch: Watch | None = None,
    ) -> Repaired:
        """`LM.repair`, watched."""
        return repair(
            self, text, prompt=prompt, doubt=doubt, rounds=rounds, params=params, watch=watch
        )
