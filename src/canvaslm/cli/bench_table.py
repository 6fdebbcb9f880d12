"""The tables of `canvaslm bench`: where the time of a pass goes, and how near a limit that is."""

from __future__ import annotations

from typing import Any

from canvaslm.cli import output


def write_tables(document: dict[str, Any], *, to_stderr: bool) -> None:
    """Write a headline, the parts where they are known, and this machine's peaks."""
    console = output.console(to_stderr=to_stderr)
    console.print(headline(document))
    if "parts" in document:
        table = output.figures(
            "part", "ms", "share", "GB/s", "TFLOP/s", "ms at least", "of ceiling", "bound by"
        )
        for name, part in document["parts"].items():
            table.add_row(name, *cells(part))
        console.print(table)
    console.print(ceilings(document["peaks"]))
    console.print(f"at most {document['peak_memory_bytes'] / 1e9:.2f} GB of memory")


def headline(document: dict[str, Any]) -> str:
    what = document["measured"]
    where = f"{document['model']} ({document['network']}), {document['machine']}"
    shape = (
        f"prefix {document['prefix']} ({document['prefix_made_of']}), canvas "
        f"{document['canvas']} x {document['rows']}"
    )
    if what == "generate":
        speed = document["tokens_per_second"]
        return f"{where}\n{document['mode']}, {shape}: {spread(speed, 1, 'tokens/s')}"
    lines = [where, f"{what}, {shape}: {spread(document[f'seconds_per_{what}'], 1e3, 'ms')}"]
    if "implied" in document:
        implied = document["implied"]
        lines.append(
            f"{implied['tokens_per_second']:.1f} tokens/s at {implied['steps_per_canvas']} steps "
            f"per canvas and a commit of {1e3 * document['seconds_per_commit']:.0f} ms"
        )
    else:
        lines.append(f"{document['tokens_per_second']:.1f} tokens/s")
    return "\n".join(lines)


def spread(values: dict[str, float], scale: float, unit: str) -> str:
    median, least, most = (scale * values[name] for name in ("median", "least", "most"))
    return f"{median:.4g} {unit} ({least:.4g} to {most:.4g} in {values['count']})"


def cells(part: dict[str, Any]) -> list[str]:
    def number(name: str, scale: float, digits: int) -> str:
        value = part[name]
        return "" if value is None else f"{scale * value:.{digits}f}"

    return [
        number("seconds", 1e3, 2),
        f"{part['share']:.1%}",
        number("bytes_per_second", 1e-9, 1),
        number("operations_per_second", 1e-12, 3),
        number("floor_seconds", 1e3, 2),
        "" if part["of_ceiling"] is None else f"{part['of_ceiling']:.0%}",
        part["bound_by"] or "",
    ]


def ceilings(peaks: dict[str, Any]) -> str:
    kinds = ", ".join(
        f"{kind} {peaks[f'{kind}_operations_per_second'] / 1e12:.3f}"
        for kind in ("float32", "bfloat16", "int8")
    )
    return (
        f"this machine ({peaks['instructions']}, {peaks['threads']} threads): reads "
        f"{peaks['read_bytes_per_second'] / 1e9:.1f} GB/s; {kinds} Tera-operations/s"
    )
