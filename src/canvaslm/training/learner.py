"""The objective as a module: what PyTorch wraps to run it in several processes."""

from __future__ import annotations

from torch import Tensor, nn

from canvaslm.kernels.cpu.training import Training
from canvaslm.model.transformer import Transformer
from canvaslm.training.data.batch import Batch
from canvaslm.training.fused.network import Fused
from canvaslm.training.hold import held_losses
from canvaslm.training.objective import Network, losses


class Learner(nn.Module):
    """A network that answers a batch with its losses: causal, canvas, accuracy.

    `recompute` keeps no logits for the gradient; `even` does the same work for every batch, as
    processes that wait for each other must; `native` are operations of our own to
    compute with.
    """

    def __init__(
        self,
        model: Transformer,
        *,
        recompute: bool = False,
        even: bool = False,
        native: Training | None = None,
    ) -> None:
        super().__init__()
        self.model, self.recompute, self.even = model, recompute, even
        self.network: Network = model if native is None else Fused(model, native)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        losses_of = held_losses if batch.held else losses
        loss = losses_of(self.network, batch, recompute=self.recompute, even=self.even)
        return loss.causal, loss.canvas, loss.accuracy
