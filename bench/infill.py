"""What each part of infilling is worth, on held-out functions with a gap.

    python bench/infill.py [FOLDER] [--n 60] [--origin textbook] [--only search all ...] [--json]

The same gaps are filled with the true length given, with the length searched for in several ways,
without a length, and left to right. Exact is the share of gaps filled to the character, white space
at the end aside; alike the mean of difflib's ratio; length the share of true numbers of tokens.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from statistics import fmean

import canvaslm
from canvaslm import LM, Params
from canvaslm.engine.rewriting.infill import GapRules
from canvaslm.eval.infill_cases import KINDS, ORIGINS, InfillCase, InfillPlan, infill_cases

ORACLE = "the true length"
ALONE = GapRules(natural=False, sketch=False, heal=False)
METHODS = {
    ORACLE: ALONE,
    f"{ORACLE}, healed": replace(ALONE, heal=True),
    "search": ALONE,
    "search, one length": replace(ALONE, keep=1),
    "search, six lengths": replace(ALONE, keep=6),
    "search, bias not divided out": replace(ALONE, divide=False),
    "no length": replace(ALONE, keep=0, natural=True),
    "left to right": replace(ALONE, keep=0, sketch=True),
    "search, no length": replace(ALONE, natural=True),
    "all but healing": GapRules(heal=False),
    "all": GapRules(),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method on the gaps of one kind; steps and seconds are means for a gap."""

    method: str
    kind: str
    n: int
    exact: float
    alike: float
    length: float
    steps: float
    seconds: float


def measure(lm: LM, cases: Sequence[InfillCase], *, method: str, kind: str, most: int) -> Row:
    """Fill the gaps; the seed of each is its number."""
    made, same = [], []
    for case in cases:
        true = len(lm.tokenizer.encode(case.gap.answer))
        made.append(
            lm.rewriter.infill(
                case.gap.before,
                case.gap.after,
                max_gap=most,
                gap=true if method.startswith(ORACLE) else None,
                params=Params(seed=case.number),
                rules=METHODS[method],
            )
        )
        same.append(made[-1].gap_tokens == true)
    pairs = [
        (m.text.rstrip(), case.gap.answer.rstrip()) for m, case in zip(made, cases, strict=True)
    ]
    return Row(
        method=method,
        kind=kind,
        n=len(cases),
        exact=fmean(text == answer for text, answer in pairs),
        alike=fmean(SequenceMatcher(None, *pair, autojunk=False).ratio() for pair in pairs),
        length=fmean(same),
        steps=fmean(one.steps for one in made),
        seconds=fmean(one.seconds for one in made),
    )


def draw(lm: LM, *, n: int, seed: int, origin: str, kind: str, most: int) -> list[InfillCase]:
    """Held-out cases whose gap has at most `most` tokens."""
    plan = InfillPlan(n=4 * n, seed=seed, origins=[origin], kinds=[kind])  # type: ignore[list-item]
    cases = infill_cases(plan)
    return [case for case in cases if len(lm.tokenizer.encode(case.gap.answer)) <= most][:n]


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line for each method and kind."""
    lines = ["| method | gaps | n | exact | alike | length | steps | s |", "|---" * 8 + "|"]
    for row in rows:
        lines.append(
            f"| {row.method} | {row.kind} | {row.n} | {row.exact:.1%} | {row.alike:.3f} | "
            f"{row.length:.1%} | {row.steps:.1f} | {row.seconds:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?", help="default: the embedded model")
    parser.add_argument("--n", type=int, default=60, help="gaps of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--origin", choices=ORIGINS, default="textbook")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--max-gap", type=int, default=48)
    parser.add_argument("--only", nargs="+", choices=list(METHODS), help="these methods alone")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    lm = canvaslm.load(given.folder)
    rows = []
    for kind in given.kinds:
        cases = draw(
            lm, n=given.n, seed=given.seed, origin=given.origin, kind=kind, most=given.max_gap
        )
        for method in given.only or METHODS:
            rows.append(measure(lm, cases, method=method, kind=kind, most=given.max_gap))
            sys.stderr.write(f"{rows[-1]}\n")
    text = json.dumps([asdict(row) for row in rows], indent=1) if given.json else table(rows)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
