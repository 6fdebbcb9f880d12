"""Constraints: what building their automata takes, and how large they are.

    python bench/constraints.py [--tokenizer FOLDER ...] [--json]

Each constraint is read, built over bytes and spread over the tokens of each vocabulary, the
embedded one first. Times are processor time, the best of three, nothing kept between them; the
vocabulary itself is read once for each tokenizer.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import canvaslm
from canvaslm.control.language import Constraint, Json, JsonSchema, Regex, ToolCall, Vocabulary
from canvaslm.control.language.nfa import build_dfa
from canvaslm.control.language.symbols import Symbols
from canvaslm.control.language.tokens import to_tokens
from canvaslm.text.tokenizer import Tokenizer

POCKET = Path(canvaslm.__file__).parent / "pocket"
REPEATS = 3

FLAT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "job": {"enum": ["cook", "nurse", "pilot", "teacher"]},
        "married": {"type": "boolean"},
    },
    "required": ["name", "age", "job", "married"],
}
NESTED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "action": {"enum": ["create", "update", "delete"]},
        "target": {
            "type": "object",
            "properties": {
                "id": {"type": "integer", "minimum": 1},
                "path": {"type": "string", "maxLength": 64},
                "tags": {
                    "type": "array",
                    "items": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
                    "maxItems": 5,
                },
            },
            "required": ["id", "path"],
        },
        "options": {
            "type": "object",
            "properties": {
                "dry_run": {"type": "boolean"},
                "retries": {"type": "integer", "minimum": 0, "maximum": 10},
                "ratio": {"type": "number", "minimum": 0, "maximum": 1},
                "when": {"type": "string", "format": "date-time"},
            },
        },
    },
    "required": ["action", "target"],
}
TOOL = {"type": "function", "function": {"name": "change", "parameters": NESTED}}

CONSTRAINTS: dict[str, Callable[[], Constraint]] = {
    "date regex": lambda: Regex(r"[12]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"),
    "81 digits": lambda: Regex(r"(\d ){80}\d"),
    "flat schema": lambda: JsonSchema(FLAT),
    "nested schema": lambda: JsonSchema(NESTED),
    "nested tool call": lambda: ToolCall([TOOL]),
    "any JSON": lambda: Json(),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One constraint over one vocabulary; times in seconds."""

    constraint: str
    vocabulary: str
    size: int
    read_s: float
    bytes_s: float
    tokens_s: float
    states: int
    classes: int
    edges: int


def build(name: str, vocabulary: Vocabulary, title: str) -> Row:
    """The three parts of a build, each at its best of REPEATS."""
    times = []
    for _ in range(REPEATS):
        marks = [time.process_time()]
        language = CONSTRAINTS[name]().language()
        marks.append(time.process_time())
        symbols = Symbols.of(language)
        dfa = build_dfa(language, symbols)
        assert dfa is not None
        marks.append(time.process_time())
        automaton = to_tokens(dfa, symbols, vocabulary)
        marks.append(time.process_time())
        times.append([after - before for before, after in pairwise(marks)])
    read_s, bytes_s, tokens_s = (min(part) for part in zip(*times, strict=True))
    return Row(
        constraint=name,
        vocabulary=title,
        size=vocabulary.size,
        read_s=read_s,
        bytes_s=bytes_s,
        tokens_s=tokens_s,
        states=automaton.states,
        classes=automaton.classes,
        edges=len(automaton.source_E),
    )


def read_vocabulary(folder: Path) -> Vocabulary:
    tokenizer = Tokenizer.from_folder(folder)
    if tokenizer is None:
        sys.exit(f"{folder} has no tokenizer.json")
    start = time.process_time()
    vocabulary = Vocabulary.of(tokenizer)
    spent = time.process_time() - start
    sys.stderr.write(f"{folder.name}: {vocabulary.size:,} tokens read in {spent:.3f} s\n")
    return vocabulary


def table(rows: list[Row]) -> str:
    lines = [
        "| constraint | vocabulary | read | bytes | tokens | states | classes | class edges |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        parts = " | ".join(f"{1000 * s:.0f} ms" for s in (row.read_s, row.bytes_s, row.tokens_s))
        lines.append(
            f"| {row.constraint} | {row.size:,} | {parts} | {row.states:,} | {row.classes:,} |"
            f" {row.edges:,} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(description="Measure the building of constraints.")
    parser.add_argument("--tokenizer", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    rows = []
    for folder in [POCKET, *options.tokenizer]:
        vocabulary = read_vocabulary(folder)
        rows += [build(name, vocabulary, folder.name) for name in CONSTRAINTS]
    text = json.dumps([asdict(row) for row in rows], indent=2) if options.json else table(rows)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
