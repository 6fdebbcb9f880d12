"""Small functions cut out of the running interpreter's standard library."""

import ast
import hashlib
import json
import platform
import sysconfig
import textwrap
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from canvaslm.errors import TaskError
from canvaslm.tasks.disk_pool import remembered
from canvaslm.tasks.task import Split, split_of

STANDARD = Path(sysconfig.get_path("stdlib"))
"""The running interpreter's own library."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef

_FEWEST_LINES, _MOST_LINES, _MOST_CHARACTERS = 3, 14, 420

# Not library code (tests, applications, vendored packages) or tables that a program wrote.
_SKIPPED = frozenset(
    {
        "test",
        "tests",
        "idlelib",
        "lib2to3",
        "site-packages",
        "dist-packages",
        "ensurepip",
        "turtledemo",
        "encodings",
        "pydoc_data",
    }
)


class Found(NamedTuple):
    """A function as it stands in a library: `name` is qualified with its class."""

    module: str
    name: str
    source: str
    docstring: str


@lru_cache(maxsize=4)
def functions(split: Split, library: Path | None = None) -> tuple[tuple[str, str], ...]:
    """(source, canonical) of each function on one side, sorted out once and then remembered.

    `library` is a folder of Python source, by default the running interpreter's standard library.
    Raises TaskError if no function in it is of a size for this task.
    """
    root = STANDARD if library is None else library
    place = hashlib.blake2b(str(root.resolve()).encode(), digest_size=4).hexdigest()
    name = f"functions-{platform.python_version()}-{place}-v3"
    lines = remembered(name, lambda: _build(root))
    chosen = tuple(
        (source, key) for source, key in map(json.loads, lines) if split_of(key) == split
    )
    if not chosen:
        raise TaskError(
            f"no function for the {split} split in the Python source under {root}: install the "
            "standard library's source files, or use the textbook bins"
        )
    return chosen


def canonical(source: str) -> str:
    """A digest of the one function in `source` that does not depend on its name, docstring,
    comments, layout and values of constants, nor on the version of Python."""
    function = parse(source).body[0]
    assert isinstance(function, _Function)
    function.name = "f"
    if ast.get_docstring(function) is not None:
        del function.body[0]
    return hashlib.blake2b(repr(_outline(function)).encode(), digest_size=16).hexdigest()


def _outline(node: object) -> object:
    """What `ast.dump` tells, less the values of constants and what varies between versions."""
    if isinstance(node, ast.Constant):
        return type(node.value).__name__
    if isinstance(node, list):
        return [_outline(item) for item in node]
    if not isinstance(node, ast.AST):
        return node
    fields = ((field, getattr(node, field, None)) for field in node._fields)
    return type(node).__name__, *(
        _outline(value)
        for field, value in fields
        if field not in ("ctx", "type_comment") and value is not None and value != []
    )


def parse(source: str) -> ast.Module:
    """`ast.parse`, silently. Raises what it raises on text that is not Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in strings are not our business
        return ast.parse(source)


def find(root: Path) -> Iterator[Found]:
    """Every function under `root` that is of a size for this task, in a fixed order."""
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if _SKIPPED.isdisjoint(parts) and not parts[0].startswith(("config-", "_sysconfigdata")):
            yield from _find_in(path, ".".join(parts).removesuffix(".py").removesuffix(".__init__"))


def _build(root: Path) -> list[str]:
    found: dict[str, str] = {}
    for function in find(root):
        found.setdefault(canonical(function.source), function.source)
    return [json.dumps([source, key]) for key, source in found.items()]


def _find_in(path: Path, module: str) -> Iterator[Found]:
    try:
        text = path.read_text(encoding="utf-8")
        tree = parse(text)
    except (OSError, ValueError, SyntaxError):
        return
    lines = text.split("\n")  # as the parser counts: a form feed ends no line
    for name, node in _outermost(tree):
        source = _cut(lines, node)
        if _fits(source):
            yield Found(module, name, source, ast.get_docstring(node) or "")


def _outermost(node: ast.AST, within: str = "") -> Iterator[tuple[str, _Function]]:
    """Functions and methods, but none inside another: it could land on the other side."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _Function):
            yield within + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from _outermost(child, f"{within}{child.name}.")
        else:
            yield from _outermost(child, within)


def _cut(lines: list[str], node: _Function) -> str:
    """The function's lines, dedented, without its docstring, which nobody could guess."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    kept = lines[first : node.end_lineno]
    if ast.get_docstring(node) is not None and len(node.body) > 1:
        docstring = node.body[0]
        assert docstring.end_lineno is not None
        if node.body[1].lineno > docstring.end_lineno and docstring.lineno > node.lineno:
            kept = lines[first : docstring.lineno - 1]
            kept += lines[docstring.end_lineno : node.end_lineno]
    return textwrap.dedent("\n".join(line.rstrip() for line in kept if line.strip()))


def _fits(source: str) -> bool:
    lines = source.count("\n") + 1
    if not (_FEWEST_LINES <= lines <= _MOST_LINES and len(source) <= _MOST_CHARACTERS):
        return False
    if not source.isascii() or "\t" in source or "<gap>" in source:
        return False
    try:
        tree = parse(source)
    except (SyntaxError, ValueError):
        return False
    if len(tree.body) != 1 or not isinstance(tree.body[0], _Function):
        return False
    # The body has to begin on a line of its own, or no whole line of it could be taken away.
    body = tree.body[0].body[0]
    return not source.split("\n")[body.lineno - 1][: body.col_offset].strip()
