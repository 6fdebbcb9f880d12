"""What surrounds a gap: the prompt that asks for it, and what its canvas shows."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from canvaslm.engine.opening import Opening
from canvaslm.engine.rewriting.desk import Desk, ask
from canvaslm.engine.rewriting.page import SHOWN, Ending, Page, length_for
from canvaslm.engine.rewriting.seams import NONE, Seams
from canvaslm.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class Around:
    """The two sides of a gap.

    opening  the prompt that asks for it
    shown    the first tokens of what follows, which the canvas shows behind the gap
    ending   the tokens that close and fill a canvas
    most     tokens that may be written, the seams apart
    length   tokens of the canvas
    seams    what the prompt leaves out on either side, to be written, too
    """

    opening: Opening
    shown: tuple[int, ...]
    ending: Ending
    most: int
    length: int
    seams: Seams = NONE

    def page(self, size: int) -> Page:
        """A canvas on which the gap has `size` tokens, the seams apart."""
        return Page(
            size=size + self.seams.tokens, length=self.length, after=self.rest, ending=self.ending
        )

    def open_page(self) -> Page:
        """A canvas on which the model ends the gap itself."""
        return Page(size=self.most, length=self.length, after=None, ending=self.ending)

    @property
    def rest(self) -> tuple[int, ...]:
        """What follows the gap on its canvas."""
        return (*self.shown, self.ending.close)


def look_around(
    desk: Desk,
    stack: ExitStack,
    prefix: str,
    suffix: str,
    *,
    most: int,
    show: bool = True,
    note: str = "",
    seams: Seams = NONE,
) -> Around:
    """Encode the prompt for the gap between `prefix` and `suffix`; `stack` frees it again.

    With `show` false the canvas shows nothing of the suffix. Raises ParameterError where the canvas
    has no room for `most` tokens, ContextLengthError where the context has none for the document.
    """
    ending, longest = Ending.of(desk), desk.network.config.canvas_length
    room = longest - 1 - seams.tokens  # one closes
    if most > room:
        raise ParameterError(
            f"{most} tokens do not fit: a canvas of this model holds {longest}, of which a gap may "
            f"take {room}"
        )
    before = prefix.removesuffix(seams.stem) if seams.stem else prefix
    after = suffix.removeprefix(seams.tail)
    ids = desk.tokenizer.encode(after, special=False) if show else []
    shown = tuple(ids[: min(SHOWN, room - most)])
    opening = ask(desk, before, after, note=note)
    stack.callback(opening.prefix.free)
    needed = most + seams.tokens + len(shown) + 1
    return Around(
        opening=opening,
        shown=shown,
        ending=ending,
        most=most,
        length=length_for(needed, longest=longest),
        seams=seams,
    )
