"""What fewer bits cost: logits, whole answers and task scores of a model, rounded in several ways.

    python bench/quantised.py [FOLDER] [--n 200] [--cases 25] [--tasks sudoku ...] [--out FILE]

Everything is compared with the float32 model. Logits are those of right answers with a share of
their tokens replaced at random, one pass from a fresh start. Answers have the same prompt and seed
everywhere; a sampler draws, so one other token early on may change all that follow, and the row of
bfloat16 weights shows how much of that is the rounding of the last bits. Scores come with the
standard error of their difference, case by case.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

import canvaslm
from canvaslm import LM, Params, tasks
from canvaslm.checkpoint.folder import Checkpoint, open_checkpoint
from canvaslm.engine.loading import POCKET
from canvaslm.engine.plan import plan
from canvaslm.engine.quantised.read import quantise_model, read_state
from canvaslm.eval.machine import describe_device
from canvaslm.eval.paired import Estimate
from canvaslm.eval.run import Plan, examples
from canvaslm.kernels.choose import operations
from canvaslm.kernels.rows import Kind
from canvaslm.kernels.weight import Weight
from canvaslm.model.native import Native
from canvaslm.model.presets import parameter_count
from canvaslm.model.weights import State, weights_of
from canvaslm.quant.scheme import SCHEMES, Scheme
from canvaslm.tasks import Example

# L canvas, V vocabulary


@dataclass(frozen=True)
class Variant:
    """A scheme, None for every matrix in bfloat16, and what rows are rounded to."""

    scheme: Scheme | None
    activations: Kind | None = None


VARIANTS: Mapping[str, Variant] = {
    "bfloat16": Variant(None),
    "int8": Variant(SCHEMES["int8"]),
    "int4": Variant(SCHEMES["int4"]),
    "int4, bfloat16 rows": Variant(SCHEMES["int4"], "bfloat16"),
    "int4, groups of 32": Variant(Scheme(group=32)),
    "int4, dense too": Variant(Scheme(dense="int4")),
    "int4, embedding int8": Variant(Scheme(embedding="int8")),
    "mxfp4": Variant(SCHEMES["mxfp4"]),
}
NOISE = (0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Read the options, measure, write."""
    given = options()
    checkpoint = open_checkpoint(given.model)
    reference = canvaslm.load(given.model, device="cpu", dtype="float32")
    cases = {task: examples(Plan(task=task, n=given.n, seed=given.seed)) for task in given.tasks}
    base = answers(reference, cases, seed=given.seed)
    found: dict[str, dict[str, object]] = {}
    found["float32"] = {"scores": {task: share(one.right) for task, one in base.items()}}
    for name in given.only or VARIANTS:
        sys.stderr.write(f"{name}\n")
        lm = load(checkpoint, VARIANTS[name], reference)
        found[name] = {
            "weights": weight_bytes(checkpoint, VARIANTS[name]),
            "logits": logits(lm, reference, cases, count=given.cases),
            "answers": against(answers(lm, cases, seed=given.seed), base),
        }
    document = {
        "command": " ".join(["python bench/quantised.py", *sys.argv[1:]]),
        "machine": f"{describe_device(torch.device('cpu'))}, {operations().name}",
        "found": found,
    }
    sys.stdout.write(table(found) + "\n")
    if given.out is not None:
        given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default=str(POCKET))
    parser.add_argument("--n", type=int, default=200, help="answers per task")
    parser.add_argument("--cases", type=int, default=25, help="canvases of logits per task")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", nargs="+", default=["sudoku", "scenes", "json", "ask"])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS))
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def load(checkpoint: Checkpoint, variant: Variant, like: LM) -> LM:
    """The variant as an LM, tokenizer and settings those of `like`."""
    scheme = variant.scheme
    if scheme is None:
        state = narrowed(read_state(checkpoint))
    else:
        state = quantise_model(checkpoint, scheme)
    network = Native(
        checkpoint.config,
        weights_of(checkpoint.config, state),
        operations(),
        activations=variant.activations,
    )
    return LM(network, tokenizer=like.tokenizer, settings=like.settings)


def narrowed(state: State) -> State:
    """Every matrix in bfloat16."""
    return {name: narrow(value) for name, value in state.items()}


def narrow(value: Tensor | Weight | Sequence[Weight]) -> Tensor | Weight | Sequence[Weight]:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Weight):
        return Weight("bfloat16", value.dequantised().bfloat16())
    return [Weight("bfloat16", one.dequantised().bfloat16()) for one in value]


def weight_bytes(checkpoint: Checkpoint, variant: Variant) -> int:
    if variant.scheme is None:
        return 2 * parameter_count(checkpoint.config)
    return sum(plan(checkpoint, quant=variant.scheme).weights.values())


def logits(
    lm: LM, reference: LM, cases: Mapping[str, Sequence[Example]], *, count: int
) -> dict[str, float]:
    """Divergence in nats, agreement of the likeliest token, and relative error of the logits."""
    divergence, agreement, error = [], [], []
    for chosen in cases.values():
        for number, case in enumerate(chosen[:count]):
            ids_L = noised(reference, case, share=NOISE[number % len(NOISE)], seed=number)
            exact_LV, found_LV = (one_pass(one, case.prompt, ids_L) for one in (reference, lm))
            p_LV, q_LV = exact_LV.log_softmax(-1), found_LV.log_softmax(-1)
            divergence.append(float((p_LV.exp() * (p_LV - q_LV)).sum(-1).mean()))
            agreement.append(float((p_LV.argmax(-1) == q_LV.argmax(-1)).double().mean()))
            spread_LV = exact_LV - exact_LV.mean(-1, keepdim=True)
            error.append(float((found_LV - exact_LV).norm() / spread_LV.norm()))
    return {
        "divergence": Estimate.of(divergence).mean,
        "agreement": Estimate.of(agreement).mean,
        "error": Estimate.of(error).mean,
    }


def noised(lm: LM, case: Example, *, share: float, seed: int) -> Tensor:
    """A right answer, filled up with ends, a share of whose tokens are drawn at random: [L]."""
    length, vocabulary = lm.config.canvas_length, lm.config.vocab_size
    end = min(lm.settings.eos_ids)
    ids = [*lm.tokenizer.encode(case.answer), *[end] * length][:length]
    generator = torch.Generator().manual_seed(seed)
    random_L = torch.randint(vocabulary, (length,), generator=generator)
    changed_L = torch.rand(length, generator=generator) < share
    return torch.where(changed_L, random_L, torch.tensor(ids))


def one_pass(lm: LM, prompt: str, ids_L: Tensor) -> Tensor:
    with lm.prefill(prompt) as prefix:
        return lm.denoise_logits(prefix, ids_L.tolist())[0].double()


@dataclass(frozen=True)
class Answers:
    """Of one task, case by case."""

    right: list[bool]
    ids: list[tuple[int, ...]]
    steps: list[int]
    seconds: float


def answers(lm: LM, cases: Mapping[str, Sequence[Example]], *, seed: int) -> dict[str, Answers]:
    found = {}
    for task, chosen in cases.items():
        begun = time.perf_counter()
        results = [
            lm.generate(case.prompt, params=Params(max_tokens=256, seed=seed)) for case in chosen
        ]
        seconds = time.perf_counter() - begun
        score = tasks.get(task).score
        found[task] = Answers(
            [score(case, r.text).correct for case, r in zip(chosen, results, strict=True)],
            [tuple(r.token_ids) for r in results],
            [r.usage.steps for r in results],
            seconds,
        )
    return found


def against(found: Mapping[str, Answers], base: Mapping[str, Answers]) -> dict[str, object]:
    """Scores beside those of the reference, and how many answers and tokens are the same."""
    report: dict[str, object] = {}
    for task, mine in found.items():
        other = base[task]
        pairs = list(zip(mine.ids, other.ids, strict=True))
        difference = [float(a) - b for a, b in zip(mine.right, other.right, strict=True)]
        report[task] = {
            "score": share(mine.right),
            "difference": asdict(Estimate.of(difference)),
            "same_answers": share([a == b for a, b in pairs]),
            "same_tokens": Estimate.of([overlap(a, b) for a, b in pairs]).mean,
            "steps_ratio": sum(mine.steps) / sum(other.steps),
            "time_ratio": mine.seconds / other.seconds,
        }
    return report


def overlap(a: Sequence[int], b: Sequence[int]) -> float:
    """Share of places with the same token."""
    longest = max(len(a), len(b))
    return sum(x == y for x, y in zip(a, b, strict=False)) / longest if longest else 1.0


def share(values: Sequence[bool]) -> float:
    return sum(values) / len(values)


def table(found: Mapping[str, Mapping[str, object]]) -> str:
    """A Markdown table, one row for each variant."""
    scores = found["float32"]["scores"]
    assert isinstance(scores, dict)
    head = ["weights", "MB", "KL, nats", "top 1", "logit error", "same tokens", *scores]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    exact = " | ".join(f"{score:.1%}" for score in scores.values())
    lines.append(f"| float32 | | | | | | {exact} |")
    for name, one in found.items():
        if name == "float32":
            continue
        seen, told = one["logits"], one["answers"]
        assert isinstance(seen, dict)
        assert isinstance(told, dict)
        same = sum(task["same_tokens"] for task in told.values()) / len(told)
        cells = [
            f"{task['score']:.1%} ({100 * task['difference']['mean']:+.1f} "
            f"± {100 * (task['difference']['error'] or 0):.1f})"
            for task in told.values()
        ]
        lines.append(
            f"| {name} | {one['weights'] / 1e6:.2f} | {seen['divergence']:.4f} | "  # type: ignore[operator]
            f"{seen['agreement']:.1%} | {seen['error']:.2%} | {same:.0%} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
