"""Groups of options: on the command line as if each stood in the signature, in Python one value."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from canvaslm.cli.groups import grouped
from canvaslm.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class Size:
    width: Annotated[int, typer.Option(help="Across.")] = 3
    height: Annotated[int, typer.Option("--height", "-h", help="Up.")] = 4

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ParameterError(f"width must be at least 1, got {self.width}")


@dataclass(frozen=True, kw_only=True)
class Large(Size):
    width: Annotated[int, typer.Option(help="Far across.")] = 30
    deep: Annotated[bool, typer.Option("--deep", help="Down.")] = False


def alone(
    *,
    name: Annotated[str, typer.Argument(help="Whose.")],
    first: Annotated[int, typer.Option(help="Before.")] = 1,
    width: Annotated[int, typer.Option(help="Far across.")] = 30,
    height: Annotated[int, typer.Option("--height", "-h", help="Up.")] = 4,
    deep: Annotated[bool, typer.Option("--deep", help="Down.")] = False,
    last: Annotated[int, typer.Option(help="After.")] = 2,
) -> None:
    """Print it."""


def command(
    *,
    name: Annotated[str, typer.Argument(help="Whose.")],
    first: Annotated[int, typer.Option(help="Before.")] = 1,
    size: Large,
    last: Annotated[int, typer.Option(help="After.")] = 2,
) -> None:
    """Print it."""
    typer.echo(f"{name} {first} {size} {last}")


def said(function: object, *args: str) -> str:
    app = typer.Typer()
    app.command("it")(function)  # type: ignore[arg-type]
    return CliRunner().invoke(app, args, catch_exceptions=False).output


def test_help_is_that_of_the_options_one_by_one() -> None:
    assert said(grouped(command), "--help") == said(alone, "--help")
    assert "Far across." in said(grouped(command), "--help")


def test_a_group_gets_its_values_and_defaults_where_it_stands() -> None:
    given = said(grouped(command), "me", "--width", "5", "-h", "6", "--deep", "--last", "7")
    assert given == "me 1 Large(width=5, height=6, deep=True) 7\n"
    assert said(grouped(command), "me") == "me 1 Large(width=30, height=4, deep=False) 2\n"


def test_what_a_group_refuses_is_refused() -> None:
    with pytest.raises(ParameterError, match="got 0"):
        said(grouped(command), "me", "--width", "0")
