"""What bench/performance.py measured, as tables and plots: docs/performance.md and its pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from growth import draw as draw_growth
from kernels import Row
from kernels import table as kernel_table

BEGIN, END = "<!-- bench/performance.py -->", "<!-- end -->"
Found = dict[str, dict[str, Any]]
COLOURS = {"memory": "#2a7fba", "arithmetic": "#c8552d"}
ROOFS = {"int8": "-", "bfloat16": "--", "float32": ":"}


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A number that was asked for, and what was measured."""

    name: str
    wanted: str
    measured: str
    reached: bool


def there(found: Found, name: str) -> dict[str, Any] | None:
    """A part, if it was measured."""
    part = found.get(name)
    return None if part is None or "left_out" in part else part


def goals(found: Found) -> Iterator[Goal]:
    """Those of the issue, as far as their parts were measured."""
    step, far, token = there(found, "step"), there(found, "step far"), there(found, "token")
    if step is not None:
        seconds = step["seconds_per_step"]["median"]
        yield Goal(
            name="denoising step, int4, 1k prefix",
            wanted="1.3 s",
            measured=f"{seconds:.2f} s",
            reached=seconds <= 1.3,
        )
        experts = step["parts"]["experts"]
        share = experts["bytes_per_second"] / step["peaks"]["read_bytes_per_second"]
        yield Goal(
            name="experts, of the measured bandwidth",
            wanted="70 %",
            measured=f"{share:.0%} (bound by {experts['bound_by']}: {experts['of_ceiling']:.0%} of "
            "that ceiling)",
            reached=share >= 0.7,
        )
    yield from kernel_goals(found)
    if step is not None and far is not None:
        ratio = far["seconds_per_step"]["median"] / step["seconds_per_step"]["median"]
        yield Goal(
            name=f"step at a prefix of {far['prefix']} over one at {step['prefix']}",
            wanted="2.2",
            measured=f"{ratio:.2f}",
            reached=ratio <= 2.2,
        )
    prefill = there(found, "prefill")
    if prefill is not None:
        speed = prefill["tokens_per_second"]
        yield Goal(
            name=f"prefill of {prefill['prefix']} tokens",
            wanted="300 tokens/s",
            measured=f"{speed:.0f} tokens/s",
            reached=speed >= 300,
        )
    if step is not None and token is not None:
        ratio = step["implied"]["tokens_per_second"] / token["tokens_per_second"]
        yield Goal(
            name="diffusion at 12.6 steps over the same weights left to right",
            wanted="1.5",
            measured=f"{ratio:.2f} ({step['implied']['tokens_per_second']:.1f} and "
            f"{token['tokens_per_second']:.1f} tokens/s)",
            reached=ratio >= 1.5,
        )
    embedded = there(found, "embedded")
    if embedded is not None:
        for side, how in (("now", "float32, as loaded"), ("int8", 'quant="int8"')):
            factors = {
                task: speeds[side] / speeds["before"]
                for task, speeds in embedded["tokens_per_second"].items()
            }
            yield Goal(
                name=f"tokens/s of the embedded model over what it was ({how})",
                wanted="2",
                measured=", ".join(f"{task} {factor:.2f}" for task, factor in factors.items()),
                reached=min(factors.values()) >= 2,
            )


def kernel_goals(found: Found) -> Iterator[Goal]:
    kernels = there(found, "kernels")
    for row in rows_of(kernels) if kernels is not None else []:
        times = list(row.milliseconds.values())
        if row.name.startswith("vocabulary head"):
            factor = times[1] / times[0]
            yield Goal(
                name="vocabulary head over transformers' chain",
                wanted="20 x",
                measured=f"{factor:.1f} x",
                reached=factor >= 20,
            )
        elif row.name == "dense int8 256 x 2816 x 12288":
            speed = row.tera_operations_per_second
            yield Goal(
                name=row.name,
                wanted="4.5 TOP/s",
                measured=f"{speed:.2f} TOP/s ({row.of_ceiling:.0%} of this machine's)",
                reached=speed >= 4.5,
            )


def rows_of(kernels: dict[str, Any]) -> list[Row]:
    return [Row(**row) for row in kernels["rows"]]


def report(found: Found) -> str:
    """Markdown: machine, goals, the step in parts, operations, peers, growth."""
    sections = [machine(found), goal_table(found), step_table(found), passes_table(found)]
    kernels = there(found, "kernels")
    if kernels is not None:
        title = f"## Single operations ({kernels['kernels']})"
        notes = [f"{row.name}: {row.note}." for row in rows_of(kernels) if row.note]
        sections.append("\n\n".join([title, kernel_table(rows_of(kernels)), " ".join(notes)]))
    sections += [peers(found), growth(found), left_out(found)]
    return "\n\n".join(section for section in sections if section)


def machine(found: Found) -> str:
    step = there(found, "step")
    if step is None:
        return ""
    peaks = step["peaks"]
    kinds = ", ".join(
        f"{kind} {peaks[f'{kind}_operations_per_second'] / 1e12:.3f}"
        for kind in ("int8", "bfloat16", "float32")
    )
    return (
        f"Measured on {step['machine']} with the {peaks['instructions']} kernels and "
        f"{peaks['threads']} threads. Its own peaks, from probes in the same process: "
        f"{peaks['read_bytes_per_second'] / 1e9:.1f} GB/s read from memory; {kinds} TOP/s on "
        "random numbers out of the first cache."
    )


def goal_table(found: Found) -> str:
    lines = ["| | wanted | measured | |", "|---|---|---|---|"]
    for goal in goals(found):
        mark = "reached" if goal.reached else "not reached"
        lines.append(f"| {goal.name} | {goal.wanted} | {goal.measured} | {mark} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def step_table(found: Found) -> str:
    step = there(found, "step")
    if step is None:
        return ""
    seconds, implied = step["seconds_per_step"], step["implied"]
    lines = [
        f"## A denoising step\n\n{step['weights']['experts']} experts, {step['weights']['dense']} "
        f"dense matrices, {step['weights']['embedding']} embedding; {step['rows']} canvas of "
        f"{step['canvas']}, prefix {step['prefix']} ({step['prefix_made_of']}): "
        f"**{seconds['median']:.3f} s** ({seconds['least']:.3f} to {seconds['most']:.3f} in "
        f"{seconds['count']}), {step['peak_memory_bytes'] / 1e9:.1f} GB of memory at most. At "
        f"{implied['steps_per_canvas']} steps per canvas and a commit of "
        f"{step['seconds_per_commit']:.2f} s that is {implied['tokens_per_second']:.1f} tokens/s. "
        f"All parts at their ceilings would take {step['floor_seconds']:.3f} s.",
        "",
        "| part | ms | share | GB/s | TOP/s | ms at least | of ceiling | bound by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [part_line(name, part) for name, part in step["parts"].items()]
    return "\n".join([*lines, "", "![Roofline of a step](pictures/performance.svg)"])


def part_line(name: str, part: dict[str, Any]) -> str:
    start = f"| {name} | {1e3 * part['seconds']:.1f} | {part['share']:.1%} "
    if part["floor_seconds"] is None:
        return f"{start}| | | | | |"
    return (
        f"{start}| {part['bytes_per_second'] / 1e9:.1f} | "
        f"{part['operations_per_second'] / 1e12:.3f} | {1e3 * part['floor_seconds']:.1f} | "
        f"{part['of_ceiling']:.0%} | {part['bound_by']} |"
    )


def passes_table(found: Found) -> str:
    """The other passes, one line each."""
    lines = ["## Other passes\n", "| pass | prefix | seconds | tokens/s |", "|---|---|---|---|"]
    for name in ("step far", "prefill", "commit", "token"):
        part = there(found, name)
        if part is not None:
            seconds = part[f"seconds_per_{part['measured']}"]
            speed = part.get("tokens_per_second") or part["implied"]["tokens_per_second"]
            prefix = f"{part['prefix']} ({part['prefix_made_of']})"
            if part["measured"] == "prefill":
                prefix = "none"
            lines.append(
                f"| {part['measured']} | {prefix} | {seconds['median']:.3f} "
                f"({seconds['least']:.3f} to {seconds['most']:.3f}) | {speed:.1f} |"
            )
    return "\n".join(lines) if len(lines) > 3 else ""


def peers(found: Found) -> str:
    """Other engines: a line each."""
    lines = []
    depths = (there(found, "transformers") or {}).get("transformers", {})
    if "seconds_per_step" in depths:
        few, many = depths["layers"]
        lines += [
            f"| engine | {few} layers, s per step | {many} layers | 30 layers, extrapolated |",
            "|---|---|---|---|",
        ]
        whole = depths["seconds_per_step_of_the_release"]
        for name, (low, high) in depths["seconds_per_step"].items():
            # a machine that was busy during one of them may have made fewer layers slower
            guess = f"{whole[name]:.1f}" if high > low else "not to be told"
            lines.append(f"| {name} | {low:.2f} | {high:.2f} | {guess} |")
        lines.append("")
    for name in ("ggml", "openvino"):
        part = (there(found, name) or {}).get(name, {})
        if "milliseconds" in part:
            values = "; ".join(f"{what}: {ms:.1f}" for what, ms in part["milliseconds"].items())
            lines.append(f"{name} {part['version']}, milliseconds: {values}.\n")
    return "\n".join(["## Other engines\n", *lines]).rstrip() if lines else ""


def growth(found: Found) -> str:
    measured = there(found, "growth")
    if measured is None:
        return ""
    lines = [f"## How a step grows ({measured['layers']} layers, full width)\n"]
    for what, points in panels_of(measured).items():
        values = ", ".join(f"{p['at']}: {p['seconds']['median']:.2f} s" for p in points)
        lines.append(f"{what}: {values}\n")
    return "\n".join([*lines, "![Growth of a step](pictures/performance-growth.svg)"])


def panels_of(measured: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {name: points for name, points in measured.items() if isinstance(points, list)}


def left_out(found: Found) -> str:
    """What could not be measured, and why."""
    reasons = {name: part["left_out"] for name, part in found.items() if "left_out" in part}
    for name in ("transformers", "ggml", "openvino"):
        inner = (there(found, name) or {}).get(name, {})
        if "left_out" in inner:
            reasons[name] = inner["left_out"]
    lines = [f"- {name}: {reason}" for name, reason in reasons.items()]
    return "\n".join(["## Left out\n", *lines]) if lines else ""


def write_pages(found: Found, folder: Path) -> None:
    """Put the report between the marks of performance.md; numbers and pictures beside it."""
    pictures, page = folder / "pictures", folder / "performance.md"
    pictures.mkdir(parents=True, exist_ok=True)
    (pictures / "performance.json").write_text(json.dumps(found, indent=1) + "\n")
    step, measured = there(found, "step"), there(found, "growth")
    if step is not None:
        draw_roofline(step, pictures / "performance.svg")
    if measured is not None:
        draw_growth(panels_of(measured), pictures / "performance-growth.svg")
    text = page.read_text() if page.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{report(found)}\n{END}{after}")


def draw_roofline(step: dict[str, Any], path: Path) -> None:
    """Operations a second against operations per byte, under this machine's roofs; and shares."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "performance", "font.size": 8}
    from matplotlib import pyplot

    figure, (roof, shares) = pyplot.subplots(
        1, 2, figsize=(8.6, 3.3), width_ratios=(3, 2), layout="constrained"
    )
    counted = {name: part for name, part in step["parts"].items() if part["floor_seconds"]}
    draw_roofs(roof, step["peaks"])
    for name, part in counted.items():
        intensity = part["operations_per_second"] / part["bytes_per_second"]
        speed = part["operations_per_second"] / 1e12
        colour = COLOURS[part["bound_by"]]
        roof.plot(intensity, speed, "o", color=colour)
        label = f"{name} {part['of_ceiling']:.0%}"
        roof.annotate(label, (intensity, speed), (4, -9), textcoords="offset points", fontsize=7)
    roof.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="TOP/s")
    names = list(step["parts"])[::-1]
    measured = [1e3 * step["parts"][name]["seconds"] for name in names]
    floors = [1e3 * (step["parts"][name]["floor_seconds"] or 0) for name in names]
    shares.barh(names, measured, color="#d0d0d0", label="measured")
    shares.barh(names, floors, height=0.35, color="#2a7fba", label="at its ceiling")
    shares.set(xlabel="milliseconds of a step")
    shares.legend(frameon=False, loc="lower right")
    for panel in (roof, shares):
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def draw_roofs(panel: Any, peaks: dict[str, Any]) -> None:
    """One slope of memory, and a roof for each kind of number."""
    slope = peaks["read_bytes_per_second"] / 1e12
    low, high = 0.5, 4000.0
    for kind, line in ROOFS.items():
        top = peaks[f"{kind}_operations_per_second"] / 1e12
        knee = top / slope
        panel.plot([low, knee, high], [low * slope, top, top], line, color="black", linewidth=0.8)
        panel.annotate(
            kind, (high, top), (-2, 2), textcoords="offset points", ha="right", fontsize=7
        )
