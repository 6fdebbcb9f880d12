"""A run in several processes: PyTorch's DDP, where each holds all weights, or FSDP2."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import Store
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from canvaslm.errors import TrainingError
from canvaslm.model.transformer import Attend, Transformer
from canvaslm.training.cut import part_of
from canvaslm.training.data.batch import Micro
from canvaslm.training.learner import Learner
from canvaslm.training.trainer import STOPS

FAILED = "canvaslm/failed"


class Replicas:
    """Every process holds all weights; gradients are added up by DistributedDataParallel."""

    sharded = False

    def __init__(self, store: Store, *, device: torch.device) -> None:
        self.store, self.device = store, device
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.leads, self.asked = self.rank == 0, False

    @property
    def scale(self) -> float:
        return float(self.size)  # DDP takes the mean over processes

    def place(self, device: str) -> str:
        return str(self.device) if device in ("auto", self.device.type) else device

    def spread(self, learner: Learner) -> Learner:
        wrapped = DistributedDataParallel(learner, forward_sync_buffers=False)
        return cast(Learner, wrapped)

    def settle(self, learner: Learner) -> None:
        for part in learner.modules():
            if isinstance(part, FSDPModule):
                part.reshard()

    def share(self, micros: Sequence[Micro]) -> Sequence[Micro]:
        return [part_of(micro, rank=self.rank, size=self.size) for micro in micros]

    def learning(self, learner: Learner, *, last: bool) -> AbstractContextManager[object]:
        if last or not isinstance(learner, DistributedDataParallel):
            return nullcontext()
        return cast(AbstractContextManager[object], learner.no_sync())

    def total(self, record: dict[str, float]) -> dict[str, float]:
        values = torch.tensor(list(record.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(values)
        return dict(zip(record, values.tolist(), strict=True))

    def whole(self, tensor: Tensor) -> Tensor:
        return tensor

    def cut(self, tensor: Tensor, like: Tensor) -> Tensor:
        del like
        return tensor

    def agree(self, problem: Exception | None) -> None:
        found: list[str | None] = [None] * self.size
        dist.all_gather_object(found, None if problem is None else str(problem))
        first = next((rank for rank, reason in enumerate(found) if reason is not None), None)
        if first is None:
            return
        if problem is not None and first == self.rank:
            raise problem
        raise TrainingError(f"process {first} of {self.size} failed: {found[first]}")

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        problem: Exception | None = None
        if not self.leads:
            self.agree(None)
        try:
            yield
        except Exception as error:
            problem = error
        if self.leads:
            self.agree(problem)
        elif problem is not None:
            raise problem

    @contextmanager
    def together(self) -> Iterator[None]:
        try:
            with self.holding():
                yield
        except BaseException as error:
            reason = self.reason()
            if reason is not None and isinstance(error, RuntimeError):
                raise TrainingError(reason) from error  # a connection that the other one closed
            if reason is None:
                self.store.set(FAILED, f"process {self.rank} of {self.size} failed: {error}")
            raise

    def reason(self) -> str | None:
        """Why another process has ended, if it could say so."""
        try:
            return self.store.get(FAILED).decode() if self.store.check([FAILED]) else None
        except RuntimeError as error:  # the process that kept the store is gone
            return f"another process has ended, and its reason went with it ({error})"

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold Ctrl-C and SIGTERM, which torchrun sends on, back until all processes are done with
        the same step, or have written down why they fail."""
        if threading.current_thread() is not threading.main_thread():
            yield  # signals arrive in the main thread
            return
        before = {number: signal.signal(number, self.ask) for number in STOPS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def ask(self, number: int, frame: Any) -> None:
        del number, frame
        self.asked = True

    def stopping(self) -> bool:
        return self.total({"asked": float(self.asked)})["asked"] > 0


class Shards(Replicas):
    """Every process holds its share of each weight, gradient and average (FSDP2)."""

    sharded = True
    scale = 1.0

    def spread(self, learner: Learner) -> Learner:
        mesh = init_device_mesh(self.device.type, (self.size,))
        for module in (*learner.model.layers, learner):
            fully_shard(module, mesh=mesh)
        for part in learner.modules():
            if isinstance(part, FSDPModule):
                part.set_gradient_divide_factor(1.0)
                part.set_force_sum_reduction_for_comms(True)
        hide_attend(learner.model)
        return learner

    def whole(self, tensor: Tensor) -> Tensor:
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def cut(self, tensor: Tensor, like: Tensor) -> Tensor:
        if not isinstance(like, DTensor) or tensor.dim() == 0:
            return tensor
        if tensor.shape != like.shape:
            raise TrainingError(
                "the optimiser keeps numbers of another shape than its weights, which cannot be "
                "sharded: choose another optimiser, or train without --sharded"
            )
        placed = tensor.to(like.device)
        return distribute_tensor(placed, like.device_mesh, like.placements, src_data_rank=None)


def hide_attend(model: Transformer) -> None:
    """Give layers a bare function for `attend`: FSDP copies dataclasses, and one is a record."""
    run = model.run

    def hidden(h_BND: Tensor, positions_BN: Tensor, attend: Attend, *, causal: bool) -> Tensor:
        return run(h_BND, positions_BN, attend.__call__, causal=causal)

    model.run = hidden  # type: ignore[method-assign]
