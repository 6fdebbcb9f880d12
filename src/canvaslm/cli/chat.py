"""`canvaslm chat`: a conversation on the terminal, each answer condensing in sight."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from canvaslm.cli import options, output, parameters
from canvaslm.errors import CanvasError, ParameterError

if TYPE_CHECKING:
    from canvaslm import LM, Message, Params, Result

HELP = """\
/clear      forget the conversation
/seed N     fix the seed; without N, draw one for each answer
/tokens N   longest answer
/usage      what the last answer took
/quit       leave; so does Ctrl-D"""


def chat(
    *,
    system: Annotated[
        str | None, typer.Option(help="What the model is told first.", show_default=False)
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 256,
    seed: options.Seed = None,
    temperature: parameters.Temperature = None,
    top_k: parameters.TopK = None,
    top_p: parameters.TopP = None,
    min_p: parameters.MinP = None,
    stop: parameters.Stop = None,
    effort: parameters.Effort = None,
    source: options.Source,
) -> None:
    """Talk with a model: a line is a turn, /help lists what else can be typed."""
    from canvaslm import Params

    params = Params(
        max_tokens=max_tokens,
        seed=seed,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        stop=stop or None,
        effort=effort,
    )
    lm = source.load()
    first: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    talk = Conversation(lm=lm, params=params, first=first)
    for line in _lines():
        try:
            talk.take(line)
        except CanvasError as error:
            # One turn that was refused does not end the conversation.
            output.complain(error)


def _lines() -> Iterator[str]:
    """What is typed, or piped in, line by line, until /quit or the end."""
    terminal = sys.stdin.isatty()
    if terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  gives input() line editing and a history
        typer.echo("/help lists commands, Ctrl-D leaves.", err=True)
    with contextlib.suppress(EOFError):
        while (line := input("> " if terminal else "").strip()) != "/quit":
            if line:
                yield line


@dataclass(kw_only=True)
class Conversation:
    """The turns so far, and what a line does to them."""

    lm: LM
    params: Params
    first: list[Message]
    turns: list[Message] = field(default_factory=list)
    last: Result | None = None

    def take(self, line: str) -> None:
        """Obey a command, or answer a turn. Raises CanvasError, with the turns as they were."""
        if line.startswith("/"):
            self._obey(*line[1:].split(maxsplit=1))
            return
        asked: Message = {"role": "user", "content": line}
        try:
            self.last = self._answer([*self.first, *self.turns, asked])
        except KeyboardInterrupt:
            typer.echo("interrupted; the turn is forgotten", err=True)
            return
        output.write(self.last.text + "\n")
        self.turns += [asked, {"role": "assistant", "content": self.last.text}]

    def _answer(self, messages: list[Message]) -> Result:
        from rich.console import Console

        from canvaslm.cli.watch import draw_answer, watch

        console = Console(stderr=True)
        if not console.is_terminal:
            return self.lm.generate(messages, params=self.params)
        return watch(
            self.lm.stream(messages, params=self.params),
            lambda said, draft: draw_answer(self.lm, said, draft, console=console),
            console=console,
        )

    def _obey(self, command: str = "", argument: str = "") -> None:
        match command:
            case "help":
                typer.echo(HELP, err=True)
            case "clear":
                self.turns.clear()
            case "seed":
                self.params = replace(self.params, seed=_integer(argument) if argument else None)
            case "tokens":
                self.params = replace(self.params, max_tokens=_integer(argument))
            case "usage":
                typer.echo(_usage(self.last), err=True)
            case _:
                raise ParameterError(f"/{command} is no command: /help lists them")


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ParameterError(f"expected a whole number, got {text!r}") from None


def _usage(result: Result | None) -> str:
    if result is None:
        return "nothing has been answered yet"
    usage = result.usage
    return (
        f"{usage.completion_tokens} tokens in {usage.canvases} canvases and {usage.steps} steps, "
        f"{usage.tokens_per_forward:.1f} tokens per forward, {usage.seconds:.2f} s, "
        f"seed {result.seed}"
    )
