"""One request's way through its constraint: its state and its room, canvas after canvas."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from canvaslm.control.automaton import TokenAutomaton
from canvaslm.control.constraint.columns import columns
from canvaslm.control.constraint.lattice import Lattice, build_lattice, require_room
from canvaslm.control.constraint.machine import complete
from canvaslm.control.constraint.posterior import Posterior, condition
from canvaslm.control.pins import CanvasPins
from canvaslm.errors import ConstraintError

# L canvas, V vocabulary


class Walker:
    """Follows the committed tokens of one answer. Mutable; `machine` is shared and is not.

    `room` is how many tokens the answer may still take. One of them is an end token, unless the
    text ends exactly at the limit. Works for canvases (`posterior`) and from left to right
    (`allowed`). Raises ConstraintError at once where the shortest allowed text does not fit.
    """

    def __init__(self, automaton: TokenAutomaton, *, end_ids: frozenset[int], room: int) -> None:
        self.machine = complete(automaton, end_ids)
        self.state, self.room = self.machine.start, room
        require_room(self.machine, self.state, room)
        self._lattice: tuple[object, Lattice] | None = None

    @property
    def finished(self) -> bool:
        """Whether an end token has been committed, or the limit reached: nothing can follow."""
        return self.state == self.machine.sink or self.room == 0

    def posterior(self, z_LV: Tensor, pins: CanvasPins | None = None) -> Posterior:
        """Condition z, in place, on the constraint: logits after temperature, float32 or float64.

        Where `pins` are given, z has been bent by them already. Positions past the room stay free.
        Raises ConstraintError where no allowed text holds the pins, or has a probability at all.
        """
        lattice = self._lattice_of(len(z_LV), pins)
        return condition(z_LV, lattice, columns(self.machine, z_LV.device))

    def commit(self, ids: Sequence[int]) -> None:
        """The answer has these tokens more; those past the room do not belong to it.

        Raises ConstraintError, and stays where it was, where one is not allowed.
        """
        state, taken = self.state, ids[: self.room]
        for id in taken:
            state = self.machine.advance(state, id)
        room = self.room - len(taken)
        if self.machine.least_room(state) > room:
            raise ConstraintError(
                f"these tokens leave room for {room} more, but completing the text takes "
                f"{self.machine.least_room(state)}; commit tokens that a posterior or mask gave"
            )
        self.state, self.room = state, room

    def allowed(self) -> Tensor:
        """The tokens that may come next so that the text can be completed: bool [V], on the CPU."""
        return self.machine.allowed_mask(self.state, self.room)

    def _lattice_of(self, length: int, pins: CanvasPins | None) -> Lattice:
        """The lattice of this canvas, made once: it does not change from step to step."""
        tokens = {} if pins is None else dict(pins.tokens)
        key = (self.state, self.room, length, tuple(sorted(tokens.items())))
        if self._lattice is None or self._lattice[0] != key:
            lattice = build_lattice(
                self.machine, state=self.state, room=self.room, length=length, pins=tokens
            )
            self._lattice = key, lattice
        return self._lattice[1]
