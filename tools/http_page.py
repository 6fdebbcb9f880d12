"""Writes the generated parts of docs/http.md, from the server's OpenAPI document and its source.

python -m tools.http_page            rewrite them in place
python -m tools.http_page --check    exit 1 if one is out of date
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from typing import Any

from prometheus_client.metrics_core import Metric
from starlette.exceptions import HTTPException

from canvaslm.engine.serving.stats import Stats
from canvaslm.server.app import ERRORS, create_app
from canvaslm.server.errors import CODES, UNEXPECTED, api_error
from canvaslm.server.monitor.metrics import Metrics, counters, gauges, outcomes
from canvaslm.server.schema.common import Sampling
from canvaslm.server.service import Service
from canvaslm.server.settings import Limits, Settings
from tools.readme import PACKAGE, ROOT, Parts, main

Json = dict[str, Any]
Row = tuple[str, str, str, str]
ObjectRow = tuple[str, str, str, str, str]

PAGE = ROOT / "docs" / "http.md"
SHARED = "Common parameters"
STREAM = "StreamOptions"
FIELDS = ("name", "type", "default", "meaning")
OBJECTS = ("object", "field", "type", "default", "meaning")
HUGE = 2**31
IDLE = "Accepted; changes nothing."
REFUSED = ("Not served: refused unless null.", "Refused otherwise: ")
LIMITS = ("body", "depth", "prompt", "schema", "read", "wait", "drain")
AGAIN = {429, 503}
NAMES = {"CODES": CODES, "UNEXPECTED": UNEXPECTED}


@cache
def document() -> Json:
    """The server's OpenAPI document."""
    return create_app(Service(settings=Settings())).openapi()


def operations() -> Iterator[tuple[str, str, Json]]:
    """Method, path and description of each endpoint."""
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def endpoints() -> str:
    """What there is, a line each."""
    rows = [
        (f"`{method} {path}`", sentence(operation["description"]))
        for method, path, operation in operations()
    ]
    return table(("endpoint", "what it does"), rows)


def parameters() -> str:
    """The fields of every body: first those that many have, then those of each endpoint."""
    shared = body_rows(Sampling.model_json_schema())
    parts = [f"### {SHARED}", table(FIELDS, shown(shared)), *sentences(shared)]
    parts.append(table(OBJECTS, object_rows(STREAM)))
    for _, path, operation in operations():
        schema = body_of(operation)
        if schema is not None:
            parts += [f"### `{path}`", *body_parts(schema, shared)]
    return "\n\n".join(parts)


def body_of(operation: Json) -> Json | None:
    """The schema of an endpoint's body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return None if content is None else component(content["schema"]["$ref"])


def component(name: str) -> Json:
    """A schema by its name, or by a `$ref` to it."""
    found: Json = document()["components"]["schemas"][name.rpartition("/")[2]]
    return found


def body_parts(schema: Json, shared: Sequence[Row]) -> Iterator[str]:
    """What is said of a body: its own fields, those it shares, those it refuses, its objects."""
    own = rows = body_rows(schema)
    yield schema["description"]
    if {row[0] for row in shared} <= {row[0] for row in rows}:
        own = [row for row in rows if row not in shared]
        yield f"The [{SHARED.lower()}](#{anchor(SHARED)}), and:"
    yield table(FIELDS, shown(own))
    yield from sentences(own)
    objects = list(nested(schema))
    if objects:
        yield table(OBJECTS, objects)


def sentences(rows: Sequence[Row]) -> Iterator[str]:
    """Fields that have no effect, and known fields that are refused, in a sentence each."""
    idle = [f"`{row[0]}`" for row in rows if row[3] == IDLE]
    refused = [f"`{row[0]}`" for row in rows if row[3].startswith(REFUSED) and row[2] == "null"]
    if idle:
        yield f"Accepted, and without effect: {', '.join(idle)}."
    if refused:
        yield f"Known elsewhere, and refused here unless null: {', '.join(refused)}."


def shown(rows: Sequence[Row]) -> list[Row]:
    """The rows that are not said in a sentence."""
    said = [row for row in rows if row[3].startswith(REFUSED) and row[2] == "null"]
    return [row for row in rows if row[3] != IDLE and row[1] != "null" and row not in said]


def body_rows(schema: Json) -> list[Row]:
    """Name, type, default and meaning of each field, the required ones first."""
    required = set(schema.get("required", ()))
    rows = [
        (name, kind(field), default(name, field, required), field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    ]
    return sorted(rows, key=lambda row: row[2] != "required")


def object_rows(name: str) -> list[ObjectRow]:
    """The fields of one object, whose name stands before the first."""
    rows = shown(body_rows(component(name)))
    heads = [f"**{short(name)}**", *[""] * len(rows)]
    return [(head, f"`{row[0]}`", *row[1:]) for head, row in zip(heads, rows, strict=False)]


def nested(schema: Json) -> Iterator[ObjectRow]:
    """The fields of all objects that a schema is made of, in the order in which they appear."""
    seen = [STREAM]
    waiting = references(schema)
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.append(name)
        yield from object_rows(name)
        waiting = references(component(name)) + waiting


def references(value: object) -> list[str]:
    """The components that a schema names, each once."""
    if isinstance(value, Mapping):
        here = [value["$ref"].rpartition("/")[2]] if "$ref" in value else []
        inner = [
            name
            for key, part in value.items()
            if key != "discriminator"
            for name in references(part)
        ]
        return list(dict.fromkeys(here + inner))
    if isinstance(value, list):
        return list(dict.fromkeys(name for part in value for name in references(part)))
    return []


def short(name: str) -> str:
    """A component's own name, without what tells it from others of that name."""
    return name.rpartition("__")[2].removesuffix("-Input").removesuffix("-Output")


def default(name: str, field: Json, required: set[str]) -> str:
    if name in required:
        return "required"
    return f"`{json.dumps(field['default'])}`" if field.get("default") is not None else "null"


def kind(field: Json) -> str:
    """A type in words."""
    if "$ref" in field:
        return short(field["$ref"].rpartition("/")[2])
    if "const" in field or "enum" in field:
        values = field.get("enum", [field.get("const")])
        return (
            ", ".join(f"`{json.dumps(value)}`" for value in values if value is not None) or "null"
        )
    for several in ("anyOf", "oneOf"):
        if several in field:
            return " or ".join(dict.fromkeys(kind(one) for one in field[several] if one != NULL))
    named = field.get("type", "any JSON")
    inner = field.get("items") if named == "array" else values_of(field)
    if named == "array":
        named = "list"
    return f"{named} of {grouped(kind(inner))}" if inner else named + span(field)


def values_of(field: Json) -> Json | None:
    """What an object has under keys that the client makes up."""
    more = field.get("additionalProperties") or next(
        iter(field.get("patternProperties", {}).values()), None
    )
    return more if isinstance(more, dict) else None


def grouped(kind: str) -> str:
    """Alternatives as the parts of something larger."""
    return f"({kind})" if " or " in kind or ", " in kind else kind


NULL = {"type": "null"}


def span(field: Json) -> str:
    """The bounds of a number or of a text's length, where somebody could run into them."""
    least, most = field.get("minimum"), field.get("maximum")
    above = field.get("exclusiveMinimum")
    if least is not None and most is not None:
        return f" {least:g} to {most:g}"
    if above is not None:
        return f" above {above:g}" + (f", to {most:g}" if most is not None else "")
    if least is not None:
        return f" from {least:g}"
    return f" to {most:g}" if most is not None and most < HUGE else ""


def errors() -> str:
    """Statuses, OpenAI's types, and every code that the source of the server names."""
    found: dict[tuple[int, str], set[str]] = {}
    for path in sorted((PACKAGE / "server").rglob("*.py")):
        for status, type_, code in refusals(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault((status, type_), set()).update(code)
    found.setdefault((400, USUAL), set()).update(CODES.values())
    for missed in (api_error(HTTPException(status)) for status in (404, 405)):
        found.setdefault((missed.status, missed.kind), set()).add(str(missed.code))
    said = {status: str(error["description"]) for status, error in ERRORS.items()}
    rows = [
        (
            str(status) + (" with `Retry-After`" if status in AGAIN else ""),
            f"`{type_}`",
            ", ".join(f"`{code}`" for code in sorted(codes)),
            said.get(status, "The address takes another method"),
        )
        for (status, type_), codes in sorted(found.items())
        if status in said or status == 405
    ]
    return table(("status", "type", "codes", "when"), rows)


USUAL = "invalid_request_error"


def refusals(tree: ast.AST) -> Iterator[tuple[int, str, set[str]]]:
    """Status, type and codes of each error that a module makes."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        given = {word.arg: word.value for word in node.keywords if word.arg}
        codes = set(texts(given.get("code")))
        if node.func.id == "unavailable":
            yield 503, "server_error", codes
        elif node.func.id == "ApiError":
            status, type_ = given.get("status"), given.get("kind")
            if status is None or isinstance(status, ast.Constant):
                number = 400 if status is None else int(str(ast.literal_eval(status)))
                yield number, next(texts(type_), USUAL), codes


def texts(node: ast.expr | None) -> Iterator[str]:
    """The text that an expression is, if it is plain."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Name) and isinstance(NAMES.get(node.id), str):
        yield str(NAMES[node.id])


def limits() -> str:
    """What the server takes of a request, unless it is told otherwise."""
    rows = list(settings(Settings(), LIMITS)) + list(
        settings(Limits(), [field.name for field in fields(Limits) if field.name != "deadline"])
    )
    return table(("limit", "default", "what it is"), rows)


def settings(value: Settings | Limits, names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Some fields of a dataclass as its docstring describes them."""
    said = described(type(value))
    for name in names:
        usual = getattr(value, name)
        number = f"{usual:,g}" if isinstance(usual, float) else f"{usual:,}" if usual else "-"
        yield f"`{name}`", number, said[name]


def described(kind: type) -> dict[str, str]:
    """Names and what is said of them in a docstring's list."""
    found: dict[str, str] = {}
    name = ""
    for line in (kind.__doc__ or "").splitlines():
        entry = re.match(r" {4}(\w[\w, ]*?) {2,}(\S.*)", line)
        if entry:
            name = entry[1]
            found[name] = entry[2]
        elif name and line.startswith(" " * 12):
            found[name] += " " + line.strip()
        else:
            name = ""
    return found


def metrics() -> str:
    """Name, kind, labels and meaning of each metric."""
    nothing: Json = {field.name: 0 for field in fields(Stats) if field.default is MISSING}
    stats = Stats(**{**nothing, "seconds_per_row": {}})
    registry = Metrics(Service(settings=Settings())).registry
    found = [metric for metric in registry.collect() if metric.name.startswith("canvaslm_")]
    found += [outcomes(stats), *counters(stats), *gauges(stats)]
    rows = [(f"`{exported(one)}`", one.type, one.documentation) for one in found]
    return table(("metric", "type", "meaning"), rows)


def exported(metric: Metric) -> str:
    """The name under which Prometheus keeps it."""
    return metric.name + ("_total" if metric.type == "counter" else "")


def sentence(text: str) -> str:
    """The first sentence or line of a description."""
    return re.split(r"\n\n|(?<=\.)\s", text.strip())[0].replace("\n", " ")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; names of fields become code."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = [code(cell) if heads[place] == "name" else cell for place, cell in enumerate(row)]
        lines.append("| " + " | ".join(map(plain, cells)) + " |")
    return "\n".join(lines)


def plain(cell: str) -> str:
    """A cell that Markdown reads as it stands."""
    cell = cell.replace("|", "\\|")
    return cell if "`" in cell else cell.replace("<", "\\<")


def anchor(heading: str) -> str:
    """What links to a heading."""
    return heading.lower().replace(" ", "-")


def code(name: str) -> str:
    return f"`{name}`"


PARTS: Parts = {
    PAGE: {
        "endpoints": endpoints,
        "parameters": parameters,
        "errors": errors,
        "limits": limits,
        "metrics": metrics,
    }
}


if __name__ == "__main__":
    main(PARTS)
