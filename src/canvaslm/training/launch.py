"""The group that `torchrun` has started this process in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from canvaslm.errors import TrainingError
from canvaslm.training.group import Alone, Group
from canvaslm.training.processes import Replicas, Shards


@contextmanager
def launched(*, sharded: bool = False, device: str = "cpu") -> Iterator[Group]:
    """Join the processes that torchrun started, with gloo on the CPU and nccl on CUDA; alone
    where it started none. Raises TrainingError."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        if sharded:
            raise TrainingError(
                "--sharded needs several processes: start with "
                "`torchrun --nproc-per-node N -m canvaslm train ...`"
            )
        yield Alone()
        return
    place = own_device(device)
    store, rank, size = next(iter(rendezvous("env://")))
    backend = "nccl" if place.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield (Shards if sharded else Replicas)(PrefixStore("canvaslm", store), device=place)
    finally:
        dist.destroy_process_group()


def own_device(device: str) -> torch.device:
    """One device for each process of a machine. Raises TrainingError if there are too few."""
    kind = device
    if device == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cpu":
        return torch.device("cpu")
    local, found = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if kind != "cuda" or local >= found:
        raise TrainingError(
            f"several processes need a CUDA device each, and {device!r} gives process {local} "
            f"none of {found}: use --device cuda and at most {found} processes, or --device cpu"
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)
