"""The log-probabilities of one answer, written down while it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from canvaslm.cache.pages import Prefix
from canvaslm.diffusion.step import Outcome
from canvaslm.engine.params import LogprobKind
from canvaslm.engine.scoring.causal import causal_logprobs
from canvaslm.engine.scoring.leave_one_out import leave_one_out
from canvaslm.engine.scoring.recorders import LastStep, Path
from canvaslm.engine.scoring.token import Picked, TokenLogprob
from canvaslm.model.network import Network
from canvaslm.text.tokenizer import Tokenizer

# L canvas, D hidden


class Ledger:
    """One entry for each token. The engine asks in this order for every canvas: `watch` before it,
    `settled` when it is settled, `encoded` when it has become prefix.

    `encodes` says whether the last canvas has to be encoded, too, though nobody goes on from it.
    """

    encodes = False

    def __init__(self, *, top: int, seed: int, tokenizer: Tokenizer | None) -> None:
        self.top, self.seed, self.tokenizer = top, seed, tokenizer
        self.entries: list[TokenLogprob] = []

    def begin(self, last_D: Tensor | None) -> None:
        """The prompt is encoded, with this last hidden state."""

    def watch(self) -> Callable[[Outcome], None] | None:
        """What is told every step of the next canvas; None: nothing need be."""
        return None

    def settled(
        self, model: Network, prefix: Prefix, canvas_L: Tensor, ids: Sequence[int], canvas: int
    ) -> None:
        """Canvas number `canvas` has settled behind `prefix`; the answer takes `ids` of it."""

    def encoded(self, model: Network, hidden_LD: Tensor, ids: Sequence[int]) -> None:
        """It has been encoded, to these hidden states."""

    def add(self, picked: Picked, ids: Sequence[int]) -> None:
        """The entries of `ids`."""
        self.entries += picked.keep(len(ids)).tokens(ids, self.tokenizer)


class CausalLedger(Ledger):
    """From the encoding pass."""

    encodes = True

    def begin(self, last_D: Tensor | None) -> None:
        self._last_D = last_D

    def encoded(self, model: Network, hidden_LD: Tensor, ids: Sequence[int]) -> None:
        if ids and self._last_D is not None:
            ids_N = hidden_LD.new_tensor(ids).long()
            self.add(causal_logprobs(model, self._last_D, hidden_LD, ids_N, top=self.top), ids)
        self._last_D = hidden_LD[-1]


class DenoiserLedger(Ledger):
    """From the last step of a canvas."""

    _recorder: LastStep | Path | None = None

    def watch(self) -> Callable[[Outcome], None]:
        self._recorder = self._record()
        return self._recorder

    def _record(self) -> LastStep | Path:
        return LastStep(top=self.top)

    def settled(
        self, model: Network, prefix: Prefix, canvas_L: Tensor, ids: Sequence[int], canvas: int
    ) -> None:
        assert self._recorder is not None
        assert self._recorder.picked is not None
        self.add(self._recorder.picked, ids)


class PathLedger(DenoiserLedger):
    """From the step at which each token came to stay."""

    def _record(self) -> LastStep | Path:
        return Path(top=self.top)


class LeaveOneOutLedger(Ledger):
    """From a forward for each token, given all others of its canvas."""

    def settled(
        self, model: Network, prefix: Prefix, canvas_L: Tensor, ids: Sequence[int], canvas: int
    ) -> None:
        if not ids:
            return
        picked = leave_one_out(
            model,
            prefix,
            canvas_L,
            count=len(ids),
            seed=self.seed,
            canvas=canvas,
            top=self.top,
        )
        self.add(picked, ids)


LEDGERS: dict[LogprobKind, type[Ledger]] = {
    "causal": CausalLedger,
    "denoiser": DenoiserLedger,
    "path": PathLedger,
    "loo": LeaveOneOutLedger,
}
