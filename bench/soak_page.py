"""What bench/soak.py saw, as the tables of docs/serving.md."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from serve_page import put

Json = dict[str, Any]
BEGIN, END = "<!-- soak -->", "<!-- end of soak -->"
ANSWERS = {True: "held", False: "**broken**", None: "run too short to tell"}


def report(found: Json) -> str:
    """Markdown: what was done, what had to hold, and the outcomes."""
    return "\n\n".join([course(found), must_table(found), outcome_table(found), stopped(found)])


def course(found: Json) -> str:
    before, after = found["before"], found["after"]
    tokens = after["cache_hit_tokens"] + after["cache_miss_tokens"]
    return (
        f"{found['minutes']:g} minutes on {found['machine']}, {found['cores']} cores: "
        f"{found['clients']} clients that ask, leave or err, and {found['odd']} that read a byte a "
        f"second or never send all of a request. {counted(found)} requests; a pass had "
        f"{after['mean_rows']:.1f} rows on average, {share(after['cache_hit_tokens'], tokens)} of "
        f"the prompts' tokens were found in the cache. Resident memory was "
        f"{before['resident'] / 1e6:.0f} MB before and {after['resident'] / 1e6:.0f} MB after, "
        f"threads {before['threads']} and {after['threads']}. The longest request took "
        f"{found['longest_seconds']:.1f} s."
    )


def counted(found: Json) -> str:
    return f"{sum(sum(kind.values()) for kind in found['outcomes'].values()):,}"


def share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "none"


def must_table(found: Json) -> str:
    lines = ["| must | wanted | found | |", "|---|---|---|---|"]
    lines += [
        f"| {must['name']} | {must['wanted']} | {must['found']} | {ANSWERS[must['held']]} |"
        for must in found["musts"]
    ]
    return "\n".join(lines)


def outcome_table(found: Json) -> str:
    """A line for each kind of request, streams with what does not stream."""
    kinds: dict[str, Counter[str]] = {}
    for kind, outcomes in found["outcomes"].items():
        kinds.setdefault(kind.removesuffix(", streamed"), Counter()).update(outcomes)
    lines = ["| request | outcomes |", "|---|---|"]
    lines += [f"| {kind} | {listed(outcomes)} |" for kind, outcomes in kinds.items()]
    return "\n".join(lines)


def listed(outcomes: Json | Counter[str]) -> str:
    ordered = sorted(outcomes.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{outcome}: {count}" for outcome, count in ordered)


def stopped(found: Json) -> str:
    part = found["stopped"]
    return (
        f"Stopped under load, the server was gone after {part['seconds']:.1f} s with code "
        f"{part['exit_code']}. What its clients saw, from some seconds before: "
        f"{listed(part['outcomes'])}."
    )


def write_pages(found: Json, folder: Path) -> None:
    """The report between its marks of serving.md, its numbers beside it."""
    (folder / "pictures" / "soak.json").write_text(json.dumps(found) + "\n")
    put(report(found), folder / "serving.md", begin=BEGIN, end=END)
