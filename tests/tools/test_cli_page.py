"""The options in docs/cli.md: all commands, all options, as `--help` has them."""

from typing import Literal

import pytest
from tools.cli_page import commands, options, shape
from typer.core import TyperGroup
from typer.main import get_command

from canvaslm.cli.app import app


def test_no_command_and_no_option_is_left_out() -> None:
    shown = options()
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    found = dict(commands(group, "canvaslm"))
    assert {"canvaslm serve", "canvaslm eval sudoku", "canvaslm train pocket"} <= set(found)
    for name, command in found.items():
        assert f"`{name}`" in shown
        section = next(part for part in shown.split("### ") if f"`{name}`" in part)
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                assert f"`{parameter.opts[0]}" in section


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (int, "N"),
        (float | None, "X"),
        (str, "TEXT"),
        (list[str] | None, "TEXT"),
        (Literal["a", "b"] | None, "a|b"),
    ],
)
def test_values_have_a_shape(kind: object, said: str) -> None:
    assert shape(kind) == said


def test_a_default_of_nothing_is_said_and_a_flag_that_is_off_is_not() -> None:
    sections = {part.partition("`\n")[0].strip("`"): part for part in options().split("### ")}
    serve = sections["canvaslm serve"]
    assert "| `--port N` | `8000` |" in serve
    assert "| `--log-prompts` |  |" in serve
    assert "| `--seed N` | `0` |" in sections["canvaslm eval infill"]
