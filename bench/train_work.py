"""What bench/train.py trains on, and the processes that do it in turn."""

from __future__ import annotations

import json
import multiprocessing as mp
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import torch
from train_peer import Peer
from train_peer import Way as Setup

from canvaslm.engine.loading import POCKET
from canvaslm.tasks import get
from canvaslm.training.compiled import keep_memory
from canvaslm.training.data.batch import Feed, Micro
from canvaslm.training.data.documents import Documents
from canvaslm.training.data.sources import Chats
from canvaslm.training.data.tasks import Mixture, Tasks
from canvaslm.training.group import Alone
from canvaslm.training.optimise.choose import AdamW
from canvaslm.training.optimise.schedule import Constant
from canvaslm.training.recipe import Recipe
from canvaslm.training.speed import operations
from canvaslm.training.start import Base
from canvaslm.training.trainer import Trainer
from canvaslm.training.way import Way, quickest

OURS = "canvaslm"
RATE, CLIP = 1e-4, 1.0
CHATS, KINDS = 400, ("scenes", "json", "ask")


@dataclass(frozen=True, kw_only=True)
class Ours:
    """How our trainer runs."""

    precision: Literal["no", "bf16"]
    way: Way | None = None  # the quickest


Side = Ours | Setup


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Data, and in a few words what it is."""

    what: str
    data: Tasks | Documents


def workloads() -> dict[str, Workload]:
    folder = Path(tempfile.gettempdir()) / "canvaslm-bench-train"
    return {
        "mixture": Workload(
            what="the embedded model's tasks: 8 short prompts with their answers, two canvases of "
            "256 tokens each",
            data=Tasks(
                mixtures=(
                    Mixture(
                        tasks=dict.fromkeys(KINDS, 1.0),
                        documents=8,
                        canvases=2,
                        canvas_length=256,
                        causal_share=1.0,
                    ),
                )
            ),
        ),
        "documents": Workload(
            what="`Documents`: 8 conversations of two to six messages from a JSONL file, one "
            "random canvas of 256 tokens each, the causal loss on prompt and canvas",
            data=Documents(sources=(Chats(path=str(chats(folder))),), documents=8),
        ),
    }


def chats(folder: Path) -> Path:
    """A file of conversations that the tasks make, the same every time."""
    path, rng = folder / "chats.jsonl", random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for _ in range(CHATS):
        messages = []
        for _ in range(rng.randint(1, 3)):
            example = get(rng.choice(KINDS)).sample(rng, split="train")
            messages.append({"role": "user", "content": example.prompt})
            messages.append({"role": "assistant", "content": example.answer})
        lines.append(json.dumps({"messages": messages}))
    path.write_text("\n".join(lines) + "\n")
    return path


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """Some steps of one side; `cpu` is the processor time of its process."""

    steps: int
    seconds: float
    cpu: float
    tokens: int
    operations: float
    losses: list[float]


class Runner:
    """A side in a process of its own, which waits to be told which steps to take."""

    def __init__(self, side: Side, work: str, *, threads: int) -> None:
        spawning = mp.get_context("spawn")
        self.wire, theirs = spawning.Pipe()
        self.process = spawning.Process(target=run, args=(theirs, side, work, threads), daemon=True)
        self.process.start()
        theirs.close()

    def learn(self, steps: range) -> Learnt:
        """Raises RuntimeError with what went wrong there."""
        self.wire.send(steps)
        try:
            answer = self.wire.recv()
        except EOFError:
            raise RuntimeError("the process has ended") from None
        if isinstance(answer, str):
            raise RuntimeError(answer)
        assert isinstance(answer, Learnt)
        return answer

    def stop(self) -> None:
        self.wire.close()
        self.process.join(timeout=30)


@contextmanager
def runners(sides: Mapping[str, Side], work: str, *, threads: int) -> Iterator[dict[str, Runner]]:
    with ExitStack() as stack:
        started = {}
        for name, side in sides.items():
            started[name] = Runner(side, work, threads=threads)
            stack.callback(started[name].stop)
        yield started


def run(wire: Connection, side: Side, work: str, threads: int) -> None:
    """The process of a side: steps come in, what they took goes out."""
    torch.set_num_threads(threads)
    data = workloads()[work].data
    step, feed, config = trainer_of(side, data) if isinstance(side, Ours) else peer_of(side, data)
    batches: dict[int, list[Micro]] = {}
    while True:
        try:
            steps = wire.recv()
        except EOFError:
            return
        try:
            micros = [batches.setdefault(index, feed.micros(index)) for index in steps]
            wire.send(timed(step, micros, config))
        except Exception as error:
            wire.send(f"{type(error).__name__}: {error}")


def timed(step: Any, micros: list[list[Micro]], config: Any) -> Learnt:
    begun, cpu = time.perf_counter(), time.process_time()
    losses = [step(these) for these in micros]
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    whole = [micro.batch for these in micros for micro in these]
    return Learnt(
        steps=len(micros),
        seconds=seconds,
        cpu=cpu,
        tokens=sum(batch.tokens for batch in whole),
        operations=sum(operations(config, batch) for batch in whole),
        losses=losses,
    )


def recipe(data: Tasks | Documents, *, bfloat16: bool) -> Recipe:
    """What both learn by."""
    return Recipe(
        name="bench",
        steps=1 << 20,
        start=Base(str(POCKET)),
        data=data,
        optimise=AdamW(lr=RATE, betas=(0.9, 0.99), weight_decay=0.01),
        schedule=Constant(warmup=0),
        clip=CLIP,
        ema=None,
        bfloat16=bfloat16,
    )


class Given:
    """A feed of the batches that come next."""

    fingerprint, own = "given", False

    def __init__(self) -> None:
        self.next: list[Micro] = []

    def micros(self, step: int) -> list[Micro]:
        del step
        return self.next

    def held_out(self, count: int) -> list[Micro]:
        del count
        return []


def trainer_of(side: Ours, data: Tasks | Documents) -> tuple[Any, Feed, Any]:
    chosen = recipe(data, bfloat16=side.precision == "bf16")
    tokenizer = chosen.start.tokenizer(Path(), seed=0)
    keep_memory()
    place = torch.device("cpu")
    way = side.way or quickest(chosen, place, Alone())
    trainer = Trainer(chosen, tokenizer, device=place, way=way)
    feed, given = trainer.feed, Given()
    trainer.feed = given

    def step(micros: list[Micro]) -> float:
        given.next = micros
        return trainer.advance()["loss"]

    return step, feed, trainer.model.config


def peer_of(way: Setup, data: Tasks | Documents) -> tuple[Any, Feed, Any]:
    chosen = recipe(data, bfloat16=False)
    tokenizer = chosen.start.tokenizer(Path(), seed=0)
    config = Base(str(POCKET)).checkpoint.config
    peer = Peer(POCKET, way, lr=RATE, clip=CLIP)
    return peer.step, data.open(tokenizer, config, seed=0), config
