"""Writes the generated parts of the documents: the source tree, and the measured numbers.

    python -m tools.readme            rewrite them in place
    python -m tools.readme --check    exit 1 if one is out of date

A part stands between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from canvaslm.eval.report import markdown

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "canvaslm"
MEASURED = PACKAGE / "pocket" / "measured.json"


def first_line(path: Path) -> str:
    """The first line of a module's docstring, without its full stop."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not text:
        raise SystemExit(f"{path.relative_to(ROOT)} has no docstring: say in one line what it is")
    return text.splitlines()[0].removesuffix(".")


def packages() -> Iterator[Path]:
    """The folders of the package that hold Python, in alphabetical order."""
    for folder in sorted(path for path in PACKAGE.iterdir() if path.is_dir()):
        if (folder / "__init__.py").exists():
            yield folder


def modules(folder: Path) -> Iterator[Path]:
    """The modules of one folder, `__init__` excepted."""
    yield from (path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py")


def tree() -> str:
    """The package at a glance: a line for each folder, and for each module at the top."""
    rows = [(path.name, first_line(path)) for path in modules(PACKAGE)]
    rows += [(f"{folder.name}/", first_line(folder / "__init__.py")) for folder in packages()]
    if (PACKAGE / "pocket").is_dir():
        rows.append(("pocket/", "The embedded model, an ordinary checkpoint folder"))
    return "```\nsrc/canvaslm/\n" + _columns(rows) + "\n```"


def modules_tree() -> str:
    """Every module of every folder with its docstring's first line."""
    parts = []
    folders = (path.parent for path in PACKAGE.rglob("__init__.py"))
    for folder in sorted(folders):
        name = folder.relative_to(PACKAGE.parent).as_posix()
        rows = [(path.name, first_line(path)) for path in modules(folder)]
        heading = f"{name}/    {first_line(folder / '__init__.py')}"
        parts.append(f"{heading}\n{_columns(rows)}" if rows else heading)
    return "```\n" + "\n\n".join(parts) + "\n```"


def numbers() -> str:
    """What `tools.card` found out about the embedded model, and on which machine."""
    if not MEASURED.exists():
        return "Not measured yet."
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    table = markdown(measured["reports"], bins=False)
    return f"{table}\n\nMeasured by `{measured['command']}` on {measured['machine']}."


Parts = dict[Path, dict[str, Callable[[], str]]]
"""By page and by the name of the part: what writes it."""

PARTS: Parts = {
    ROOT / "README.md": {"tree": tree, "numbers": numbers},
    ROOT / "docs" / "architecture.md": {"modules": modules_tree},
}


def rewrite(text: str, name: str, body: str) -> str:
    """`text` with the part called `name` replaced by `body`."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    changed, count = pattern.subn(lambda match: f"{match[1]}{body}\n{match[2]}", text)
    if count != 1:
        raise SystemExit(f"expected one part <!-- {name} -->, found {count}")
    return changed


def main(pages: Parts) -> None:
    """Rewrite or, with --check, compare every generated part."""
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        raise SystemExit(f"usage: {sys.argv[0]} [--check]")
    stale = []
    for path, parts in pages.items():
        if not path.exists():
            continue
        before = after = path.read_text(encoding="utf-8")
        for name, write in parts.items():
            after = rewrite(after, name, write())
        if after != before and check:
            stale.append(str(path.relative_to(ROOT)))
        elif after != before:
            path.write_text(after, encoding="utf-8")
    if stale:
        raise SystemExit(f"out of date, run `make readme`: {', '.join(stale)}")


def _columns(rows: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:{width}}  {text}" for name, text in rows)


if __name__ == "__main__":
    main(PARTS)
