"""An adapter on a base of few bits: the 26B's plan for a card, and a run of its full width.

    python bench/lora.py [--card 24] [--layers 2] [--steps 6] [--folder FOLDER] [--json]
        [--write docs]

The run is of the 26B's preset with its full width and vocabulary, all experts and `--layers`
layers, in int4 with made-up weights; a few steps on one batch, and the most memory that the process
had, beside the plan of that very run. --write puts both between the marks of DIR/adapters.md; a
part that was not asked for stays as it is.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from serve_page import put

from canvaslm.engine.create import new_checkpoint
from canvaslm.eval.machine import cpu_name
from canvaslm.measure.memory import peak_memory
from canvaslm.model.config import ModelConfig
from canvaslm.model.presets import preset, reduced
from canvaslm.quant.scheme import scheme_of
from canvaslm.training.compiled import M_MMAP_THRESHOLD
from canvaslm.training.data.batch import Batch, Feed, Micro
from canvaslm.training.optimise.choose import AdamW
from canvaslm.training.optimise.schedule import Constant
from canvaslm.training.part import LowRank
from canvaslm.training.plan import Plan, Work, plan
from canvaslm.training.recipe import Recipe
from canvaslm.training.rehearse import Sizes
from canvaslm.training.rounded import Rounded
from canvaslm.training.trainer import Trainer

Json = dict[str, Any]
BEGIN, END = "<!-- bench/lora.py -->", "<!-- end -->"
NAME, QUANT, RANK, RATE = "26b-a4b", "int4", 16, 1e-3


class Fixed:
    """One batch, again and again."""

    fingerprint, own = "fixed", False

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def open(self, *given: object, **more: object) -> Feed:
        return self

    def micros(self, step: int) -> list[Micro]:
        return [Micro(name="fixed", batch=self.batch)]

    def held_out(self, count: int) -> list[Micro]:
        return []


def batch_of(config: ModelConfig, sizes: Sizes) -> Batch:
    """Made-up tokens of few kinds, half of the canvas replaced."""
    generator = torch.Generator().manual_seed(0)
    shape = (sizes.documents, sizes.prompt + sizes.canvas)
    documents = torch.randint(1000, 1100, shape, generator=generator)
    clean = documents[:, sizes.prompt :].contiguous()
    noise = torch.randint(config.vocab_size, clean.shape, generator=generator)
    return Batch(
        documents_BN=documents,
        causal_BN=torch.ones(shape, dtype=torch.bool),
        prefix_B=torch.full((sizes.documents,), sizes.prompt),
        clean_RL=clean,
        noised_RL=torch.where(torch.rand(clean.shape, generator=generator) < 0.5, noise, clean),
        sighted_R=torch.ones(sizes.documents, dtype=torch.bool),
    )


def work_of(config: ModelConfig, sizes: Sizes) -> Work:
    return Work(
        config=config,
        sizes=sizes,
        part=LowRank(rank=RANK, alpha=2.0 * RANK),
        optimise=AdamW(lr=RATE),
        scheme=scheme_of(QUANT),
        dtype="bfloat16",
        bfloat16=True,
    )


def learn(config: ModelConfig, sizes: Sizes, given: argparse.Namespace) -> Json:
    """A few steps, as the trainer takes them: losses, seconds, the most memory."""
    folder = given.folder or Path(tempfile.gettempdir()) / f"canvaslm-bench-lora-{given.layers}"
    if not folder.exists():
        new_checkpoint(config, folder, quant=QUANT)
    recipe = Recipe(
        name="lora",
        steps=given.steps,
        start=Rounded(str(folder), dtype="bfloat16"),
        data=Fixed(batch_of(config, sizes)),
        part=LowRank(rank=RANK, alpha=2.0 * RANK),
        optimise=AdamW(lr=RATE),
        schedule=Constant(warmup=0),
        ema=None,
        bfloat16=True,
        recompute=True,
    )
    give_back()
    before = forget_peak()
    trainer = Trainer(recipe, None, device=torch.device("cpu"))  # type: ignore[arg-type]
    loaded = peak_memory()
    held = forget_peak()
    losses, seconds = [], []
    for _ in range(given.steps):
        cpu = time.process_time()
        losses.append(trainer.advance()["loss"])
        seconds.append(time.process_time() - cpu)
        sys.stderr.write(
            f"loss {losses[-1]:.3f}, {seconds[-1]:.0f} s, {peak_memory() / 1e9:.2f} GB\n"
        )
    return {
        "losses": losses,
        "seconds": seconds,
        "program": before,
        "loading": loaded,
        "held": held,
        "most": peak_memory(),
    }


def give_back() -> None:
    """Let the C library give freed memory back at once, so that what is held is what is needed."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 1 << 20)


def forget_peak() -> int:
    """Let the most memory count from here on, where Linux can; what is held now."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    return peak_memory()


def described(made: Plan) -> Json:
    return {"parts": made.parts, "total": made.total}


def on_paper(given: argparse.Namespace) -> Json:
    """The whole network beside the card, with 256 tokens of prompt and of canvas."""
    work = work_of(preset(NAME), Sizes(documents=1, prompt=256, canvas=256))
    return {
        "card": round(given.card * 1e9),
        "plans": {
            "kept": described(plan(work, recompute=False)),
            "computed again": described(plan(work, recompute=True)),
        },
    }


def in_fact(given: argparse.Namespace) -> Json:
    """A few layers of it run, beside their own plan."""
    small = reduced(preset(NAME), layers=given.layers)
    sizes = Sizes(documents=1, prompt=given.prompt, canvas=given.canvas)
    found: Json = {"machine": cpu_name(), "layers": given.layers, "sizes": vars(sizes)}
    found["plan"] = described(plan(work_of(small, sizes), recompute=True))
    return found | learn(small, sizes, given)


def report(found: Json) -> str:
    """Markdown: the plan beside the card, and the run beside its plan."""
    parts = {"plan": card_lines, "run": run_lines}
    return "\n\n".join("\n".join(parts[name](part)) for name, part in sorted(found.items()))


LABELS = {
    "experts": "experts, int4 in groups of 64",
    "dense": "attention and dense MLP, int8",
    "embedding": "embedding, bfloat16",
    "rest": "router, self-conditioning, norms, bfloat16",
    "adapter": f"adapter of rank {RANK} on attention and dense MLP",
    "gradients": "its gradient",
    "optimiser": "AdamW",
    "encoder": "kept by the encoder",
    "denoiser": "kept by the denoiser",
    "heads": "kept by the vocabulary head",
    "transient": "for a moment, at most",
    "program": "the program itself",
}


def card_lines(found: Json) -> Iterator[str]:
    yield "| GB | kept | computed again |"
    yield "|---|---|---|"
    parts = [made["parts"] for made in found["plans"].values()]
    for name, label in LABELS.items():
        cells = " | ".join(f"{part[name] / 1e9:.2f}" for part in parts)
        yield f"| {label} | {cells} |"
    totals = [made["total"] for made in found["plans"].values()]
    yield "| **together** | " + " | ".join(f"**{total / 1e9:.2f}**" for total in totals) + " |"
    left = [(found["card"] - total) / 1e9 for total in totals]
    yield f"| left of {found['card'] / 1e9:.0f} | " + " | ".join(f"{x:.2f}" for x in left) + " |"


def run_lines(run: Json) -> Iterator[str]:
    sizes, parts = run["sizes"], run["plan"]["parts"]
    own = run["plan"]["total"] - parts["program"]
    used = run["most"] - run["program"]
    seconds = sorted(run["seconds"])[len(run["seconds"]) // 2]
    yield (
        f"Run with {run['layers']} layers of full width (all 128 experts, the whole vocabulary), "
        f"{sizes['prompt']} + {sizes['canvas']} tokens, activations computed again, on "
        f"{run['machine']}: beside the program ({run['program'] / 1e9:.2f} GB) the process had "
        f"{used / 1e9:.2f} GB at most, and the plan of that run says {own / 1e9:.2f}. On one batch "
        f"the loss went from {run['losses'][0]:.2f} to {run['losses'][-1]:.2f} in "
        f"{len(run['losses'])} steps of {seconds:.0f} s of processor time each."
    )


PARTS = {"plan": on_paper, "run": in_fact}


def main() -> None:
    """Plan, run, print, and write it where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--card", type=float, default=24, help="gigabytes of it")
    parser.add_argument("--layers", type=int, default=2, help="of the network that is run")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--prompt", type=int, default=32, help="tokens, of the run")
    parser.add_argument("--canvas", type=int, default=32, help="tokens, of the run")
    parser.add_argument("--folder", type=Path, help="the checkpoint to make or to use")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", type=Path, help="the documentation folder to write into")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    kept = None if given.write is None else given.write / "pictures" / "lora.json"
    found = json.loads(kept.read_text()) if kept and kept.exists() else {}
    found |= {name: PARTS[name](given) for name in given.parts}
    if kept is not None:
        kept.write_text(json.dumps(found, indent=1) + "\n")
        put(report(found), given.write / "adapters.md", begin=BEGIN, end=END)
    sys.stdout.write((json.dumps(found, indent=1) if given.json else report(found)) + "\n")


if __name__ == "__main__":
    main()
