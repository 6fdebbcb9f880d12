"""A progress bar on stderr while something long runs; nothing where stderr is no terminal."""

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn


def bar(*columns: ProgressColumn) -> Progress:
    """A bar followed by `columns`, wiped off at the end; use it in a `with` statement."""
    console = Console(stderr=True)
    return Progress(
        BarColumn(), *columns, console=console, transient=True, disable=not console.is_terminal
    )
