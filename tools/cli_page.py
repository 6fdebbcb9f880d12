"""Writes the options of every command into docs/cli.md.

python -m tools.cli_page            rewrite them in place
python -m tools.cli_page --check    exit 1 if they are out of date
"""

import inspect
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from canvaslm.cli.app import app
from tools.http_page import table
from tools.readme import ROOT, Parts, main

PAGE = ROOT / "docs" / "cli.md"
HEADS = ("argument or option", "default", "meaning")
Row = tuple[str, str, str]


def options() -> str:
    """A section for each command; commands that take the same share one."""
    same: dict[tuple[Row, ...], list[str]] = {}
    said: dict[str, str] = {}
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for name, command in commands(group, group.name or ""):
        same.setdefault(tuple(rows(command)), []).append(name)
        said[name] = " ".join((command.help or "").split("\n\n")[0].split())
    parts = []
    for taken, names in same.items():
        parts.append("### " + ", ".join(f"`{name}`" for name in names))
        parts.append(said[names[0]] if len(names) == 1 else "The same for each.")
        parts.append(table(HEADS, taken))
    return "\n\n".join(parts)


def commands(group: TyperGroup, name: str) -> Iterator[tuple[str, TyperCommand]]:
    """Every command with its full name, in the order of `--help`."""
    for part, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{name} {part}")
        else:
            assert isinstance(command, TyperCommand)
            yield f"{name} {part}", command


def rows(command: TyperCommand) -> Iterator[Row]:
    """The arguments and options of a command."""
    assert command.callback is not None
    kinds = get_type_hints(inspect.unwrap(command.callback))
    for parameter in command.params:
        if parameter.name not in kinds:  # --help, --version
            continue
        assert isinstance(parameter, TyperArgument | TyperOption)
        yield named(parameter, kinds[parameter.name]), usual(parameter), parameter.help or ""


def named(parameter: TyperArgument | TyperOption, kind: object) -> str:
    """How it is written, with what belongs behind it."""
    if isinstance(parameter, TyperArgument):
        return f"`{(parameter.metavar or parameter.name or '').upper()}`"
    value = "" if kind is bool else f" {parameter.metavar or shape(kind)}"
    return ", ".join(f"`{name}{value}`" for name in (*parameter.opts, *parameter.secondary_opts))


def shape(kind: Any) -> str:
    """What stands for a value: the words it may be, or its type."""
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if get_origin(kind) in (Union, UnionType, list):
        return next(shape(part) for part in get_args(kind) if part is not type(None))
    return SHAPES.get(kind, "TEXT")


SHAPES: dict[type, str] = {int: "N", float: "X"}


def usual(parameter: TyperArgument | TyperOption) -> str:
    """The default, or what stands for it."""
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    default: object = parameter.default
    if isinstance(default, Callable):  # type: ignore[arg-type]
        return ""
    if default is None or default is False or not parameter.show_default:
        return ""
    return "on" if default is True else f"`{default}`"


PARTS: Parts = {PAGE: {"options": options}}


if __name__ == "__main__":
    main(PARTS)
