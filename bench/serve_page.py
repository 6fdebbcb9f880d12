"""What bench/serve.py and bench/soak.py measured, as the tables of docs/serving.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]
BEGIN, END = "<!-- numbers -->", "<!-- end of numbers -->"


def report(found: Json) -> str:
    """Markdown: machine, ceilings, and a section for each part that was measured."""
    parts = {"load": loads, "peer": peer, "short": short, "prefill": prefill, "chat": chat}
    sections = [machine(found)]
    for name, show in parts.items():
        if name in found:
            sections.append("\n".join(show(found)))
    return "\n\n".join(sections)


def machine(found: Json) -> str:
    steps = " and ".join(
        f"{values['ms_per_step']:.1f} ms on {count} thread{'' if count == '1' else 's'}"
        for count, values in found["probe"]["threads"].items()
    )
    return (
        f"Measured on {found['machine']}, {found['cores']} cores, {found['threads']} threads, with "
        f"the embedded model in {found['dtype']}; {found['seconds_each']:g} s for each line, after "
        f"some that do not count. The clients run on the same cores. A denoising step of one "
        f"canvas with all that belongs to it takes {steps} in a process of its own; its matrix "
        f"products alone would take {1e3 * floor(found):.1f} ms at the speed of a large product. "
        f"At the end the server held {found['resident_bytes'] / 1e6:.0f} MB."
    )


def floor(found: Json) -> float:
    """Seconds of a step's matrix products on all threads."""
    speeds = [one["flops_per_second"] for one in found["probe"]["threads"].values()]
    seconds: float = found["probe"]["flops_per_step"] / max(speeds)
    return seconds


def ms(values: Json | None, *names: str) -> str:
    if values is None:
        return "–"
    return " / ".join(f"{values[name]:.0f}" for name in names or ("p50", "p95", "p99"))


def loads(found: Json) -> Iterator[str]:
    yield "## Clients\n"
    yield (
        "| | clients | tokens/s | requests/s | first text, ms (p50 / p95 / p99) | whole, ms | "
        "Jain's index | least / most | rows a pass | CPU ms a token | cores busy |"
    )
    yield "|---" * 11 + "|"
    for name, rows in found["load"].items():
        for row in rows:
            yield load_line(name, row)
    for name, rows in found["load"].items():
        yield from ratio(name, rows, found)
    yield from refused(found["load"])


def load_line(name: str, row: Json) -> str:
    fair, cost = row["fairness"], row["cpu_ms_per_token"]
    cells = (
        name,
        str(row["clients"]),
        f"{row['tokens_per_second']:.0f}",
        f"{row['requests_per_second']:.2f}",
        ms(row["first_text_ms"]),
        ms(row["request_ms"]),
        f"{fair['jain']:.3f}",
        f"{fair['least_over_most']:.2f}",
        "–" if row["mean_rows"] is None else f"{row['mean_rows']:.1f}",
        "–" if cost is None else f"{cost:.2f}",
        f"{row['cores_busy']:.2f}",
    )
    return "| " + " | ".join(cells) + " |"


def ratio(name: str, rows: list[Json], found: Json) -> Iterator[str]:
    """16 clients over 1, beside what there is to gain."""
    by_count = {row["clients"]: row for row in rows}
    one, many = by_count.get(1), by_count.get(16)
    if one is None or many is None or not one["tokens_per_second"]:
        return
    if not many["tokens_per_second"]:
        return
    gained = many["tokens_per_second"] / one["tokens_per_second"]
    cheaper = one["cpu_ms_per_token"] / many["cpu_ms_per_token"]
    free = found["cores"] / one["cores_busy"]
    line = (
        f"\nWith 16 clients {name} makes **{gained:.2f}** times the tokens of one. One client "
        f"keeps {one['cores_busy']:.2f} of {found['cores']} cores busy, so at the same cost a "
        f"token there is a factor of {free:.2f} to gain. In processor time, which other work on "
        f"the machine does not move much, tokens are {cheaper:.2f} times as cheap with 16."
    )
    if name == "diffusion" and one["steps_per_second"]:
        most = one["tokens_per_second"] / one["steps_per_second"] / floor(found)
        line += (
            f" If a step took no longer than its matrix products there would be {most:.0f} tokens/s"
            f" on these cores, {most / one['tokens_per_second']:.2f} times those of one client."
        )
    yield line
    threads = found["probe"]["threads"]
    if name == "diffusion" and len(threads) > 1:
        alone, *_, together = (value["ms_per_step"] for value in threads.values())
        count = int(list(threads)[-1])
        yield (
            f"\nSteps side by side on one thread each would give {count * together / alone:.2f} "
            f"times the speed of one step on {count} threads."
        )


def refused(rows: Json) -> Iterator[str]:
    found = {
        f"{name}, {row['clients']} clients: {row['failed']}"
        for name, lines in rows.items()
        for row in lines
        if row["failed"]
    }
    if found:
        yield f"\nNot answered: {'; '.join(sorted(found))}."


def peer(found: Json) -> Iterator[str]:
    yield "## transformers behind a simple server\n"
    yield (
        "| clients | tokens/s | transformers | times | whole, ms (p50 / p95 / p99) | transformers |"
    )
    yield "|---" * 6 + "|"
    for ours, other in zip(found["peer"]["ours"], found["peer"]["peer"], strict=True):
        speed, slower = ours["tokens_per_second"], other["tokens_per_second"]
        times = f"{speed / slower:.1f}" if slower else "–"
        yield (
            f"| {ours['clients']} | {speed:.0f} | {slower:.0f} | {times} | "
            f"{ms(ours['request_ms'])} | {ms(other['request_ms'])} |"
        )


def short(found: Json) -> Iterator[str]:
    part = found["short"]
    yield (
        f"## Short requests among long ones\n\nOne client with short requests; beside it "
        f"{part['beside']} clients whose answers have {part['tokens_of_long']} tokens and take all "
        "their steps.\n"
    )
    yield "| | alone, ms (p50 / p95 / p99) | among long ones, ms | p95, times |"
    yield "|---|---|---|---|"
    for name, times in part["kinds"].items():
        yield (
            f"| {name} | {ms(times['alone'])} | {ms(times['among long ones'])} | "
            f"{times.get('p95_ratio', '–')} |"
        )


def prefill(found: Json) -> Iterator[str]:
    part = found["prefill"]
    yield (
        f"## A long prompt beside a canvas\n\nTime from one draft of a canvas to its next, alone "
        f"and while another client's prompt of {part['prompt_tokens']} tokens is encoded, which "
        f"takes {part['prompt_seconds']:.1f} s ({part['prompts']} of them).\n"
    )
    yield "| | p50, ms | p99, ms | most, ms | drafts |"
    yield "|---|---|---|---|---|"
    for name, values in (("alone", part["gap_ms_alone"]), ("beside", part["gap_ms_beside"])):
        if values is not None:
            cells = " | ".join(f"{values[key]:.0f}" for key in ("p50", "p99", "most", "count"))
            yield f"| {name} | {cells} |"


def chat(found: Json) -> Iterator[str]:
    yield "## A conversation\n\nWhat is new are the answer before and what was said to it.\n"
    yield "| turn | prompt, tokens | new in this turn | encoded |"
    yield "|---|---|---|---|"
    for count, turn in enumerate(found["chat"]["turns"], start=1):
        yield f"| {count} | {turn['prompt_tokens']} | {turn['new_tokens']} | {turn['encoded']} |"


def write_pages(found: Json, folder: Path) -> None:
    """The report between the marks of serving.md, its numbers beside it."""
    (folder / "pictures" / "serving.json").write_text(json.dumps(found, indent=1) + "\n")
    put(report(found), folder / "serving.md", begin=BEGIN, end=END)


def put(text: str, page: Path, *, begin: str, end: str) -> None:
    """Replace what stands between two marks of a page."""
    before, _, rest = page.read_text().partition(begin)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")
