"""A protein-like sequence with gaps at which given motifs must hold: fill it in.

Motifs are patterns of PROSITE. A prompt names them and shows the sequence, in which the residues
that the first motif decides are written 1, those of the second 2. Many answers are right: all that
keep length and shown residues and match each pattern at its place. A zinc finger has gaps of
variable size, so where its histidines stand says nothing about where its cysteines do.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import ClassVar

from canvaslm.tasks.task import Example, Score, Split, check_request, split_of

RESIDUES = {
    "A": 8.3,
    "C": 1.4,
    "D": 5.5,
    "E": 6.7,
    "F": 3.9,
    "G": 7.1,
    "H": 2.3,
    "I": 5.9,
    "K": 5.8,
    "L": 9.7,
    "M": 2.4,
    "N": 4.1,
    "P": 4.7,
    "Q": 3.9,
    "R": 5.5,
    "S": 6.6,
    "T": 5.4,
    "V": 6.9,
    "W": 1.1,
    "Y": 2.9,
}
"""Amino acids with their share of known proteins, in percent."""

JOINED = ("ST", "IN", "RE")
"""Neighbours that are one token of the embedded model: no sequence here has them."""

FINGER = "C-x(2,4)-C-x(3)-[LIVMFYWC]-x(8)-H-x(3,5)-H"
SHORT = (
    "N-{P}-[ST]-{P}",
    "[ST]-x-[RK]",
    "[ST]-x(2)-[DE]",
    "G-{EDRKHPFYW}-x(2)-[STAGCN]-{P}",
    "x-G-[RK]-[RK]",
    "R-G-D",
    "[AG]-x(4)-G-K-[ST]",
)
"""PS00001, 5, 6, 8, 9, 16 and 17 of PROSITE; the finger is PS00028."""

LENGTH = 36
DECIDED = 8
"""An element of a pattern that allows so many residues or fewer is a gap; others are shown."""


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """A motif with the residues that are its: `sizes` has that of each of its elements."""

    start: int
    pattern: str
    sizes: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.start + sum(self.sizes)


class Motif:
    """The task; a bin is the number of short motifs, or one beside a zinc finger."""

    name: ClassVar[str] = "motif"
    bins: ClassVar[tuple[str, ...]] = ("1", "2", "3", "finger")

    def sample(self, rng: random.Random, *, split: Split, bin: str | None = None) -> Example:
        """A random sequence. What stands where decides the split: no held-out arrangement of
        motifs was ever seen in training, with whatever residues around it."""
        check_request(self, split=split, bin=bin)
        chosen = rng.choice(self.bins) if bin is None else bin
        count = 2 if chosen == "finger" else int(chosen)
        while True:
            patterns = [rng.choice(SHORT) for _ in range(count)]
            if chosen == "finger":
                patterns[rng.randrange(2)] = FINGER
            places = arrange(patterns, rng)
            key = " ".join(f"{p.start}-{p.end} {p.pattern}" for p in places)
            if split_of(key) == split:
                break
        prompt, answer = write(places, rng)
        return Example(task=self.name, prompt=prompt, answer=answer, bin=chosen, canonical=key)

    def score(self, example: Example, text: str) -> Score:
        """Correct when length, alphabet, shown residues and every motif are as asked for."""
        motifs, shown = read(example.prompt)
        found = text.strip()
        whole = len(found) == len(shown) and set(found) <= RESIDUES.keys()
        given = [i for i, residue in enumerate(shown) if not residue.isdigit()]
        kept = sum(found[i : i + 1] == shown[i] for i in given) / max(1, len(given))
        right = sum(matches(pattern, found[start:end]) for pattern, start, end in motifs)
        share = right / len(motifs)
        return Score(
            correct=whole and kept == share == 1,
            details={"sequence": float(whole), "kept": kept, "motifs": share},
        )


@cache
def elements(pattern: str) -> tuple[tuple[str, int, int], ...]:
    """Each element of a pattern: the residues that it allows, and how few and many of them."""
    found = []
    for element in pattern.split("-"):
        what, least, most = re.fullmatch(r"(.*?)(?:\((\d+)(?:,(\d+))?\))?", element).groups()  # type: ignore[union-attr]  # all of it is optional
        letters = what.strip("[]{}")
        allowed = "".join(RESIDUES) if what == "x" else letters
        if what.startswith("{"):
            allowed = "".join(one for one in RESIDUES if one not in letters)
        found.append((allowed, int(least or 1), int(most or least or 1)))
    return tuple(found)


def matches(pattern: str, text: str) -> bool:
    """Whether all of `text` is the motif."""
    parts = (f"[{allowed}]{{{least},{most}}}" for allowed, least, most in elements(pattern))
    return re.fullmatch("".join(parts), text) is not None


def arrange(patterns: Sequence[str], rng: random.Random) -> list[Place]:
    """The patterns in their order, not touching one another, anywhere in the sequence."""
    sizes = [
        rng.choice(list(product(*(range(low, high + 1) for _, low, high in elements(pattern)))))
        for pattern in patterns
    ]
    free = LENGTH - sum(map(sum, sizes)) - (len(sizes) - 1)
    cuts = sorted(rng.randint(0, free) for _ in sizes)
    places, taken = [], 0
    for index, (pattern, size, cut) in enumerate(zip(patterns, sizes, cuts, strict=True)):
        places.append(Place(start=cut + taken + index, pattern=pattern, sizes=size))
        taken += sum(size)
    return places


def write(places: Sequence[Place], rng: random.Random) -> tuple[str, str]:
    """A prompt, and the sequence that it was made from."""
    while True:
        answer = rng.choices(list(RESIDUES), weights=list(RESIDUES.values()), k=LENGTH)
        for place in places:
            answer[place.start : place.end] = instance(place, rng)
        text = "".join(answer)
        if not any(pair in text for pair in JOINED):
            break
    shown = list(text)
    for number, place in enumerate(places, start=1):
        hidden = hide(place)
        shown[place.start : place.end] = [
            str(number) if gone else residue
            for gone, residue in zip(hidden, text[place.start : place.end], strict=True)
        ]
    legend = " ".join(f"{number} {p.pattern}" for number, p in enumerate(places, start=1))
    return f"Infill {legend}:\n{''.join(shown)}", text


def instance(place: Place, rng: random.Random) -> list[str]:
    """Residues that match the motif, as frequent as they are in proteins."""
    found: list[str] = []
    for (allowed, _, _), size in zip(elements(place.pattern), place.sizes, strict=True):
        weights = [RESIDUES[residue] for residue in allowed]
        found += rng.choices(allowed, weights=weights, k=size)
    return found


def hide(place: Place) -> list[bool]:
    """Which residues of a motif are gaps: those that it decides."""
    hidden: list[bool] = []
    for (allowed, _, _), size in zip(elements(place.pattern), place.sizes, strict=True):
        hidden += [len(allowed) <= DECIDED] * size
    return hidden


def margins(pattern: str) -> tuple[int, int]:
    """Residues of a motif before its first gap and after its last; no pattern varies there."""
    parts = elements(pattern)
    gaps = [index for index, (allowed, _, _) in enumerate(parts) if len(allowed) <= DECIDED]
    before = sum(most for _, _, most in parts[: gaps[0]])
    return before, sum(most for _, _, most in parts[gaps[-1] + 1 :])


def read(prompt: str) -> tuple[list[tuple[str, int, int]], str]:
    """The motifs of a prompt, each with where it starts and ends, and the sequence shown."""
    legend, _, shown = prompt.partition(":\n")
    motifs = []
    words = legend.split(" ")[1:]
    for number, pattern in zip(words[::2], words[1::2], strict=True):
        before, after = margins(pattern)
        span = shown.index(number) - before, shown.rindex(number) + 1 + after
        motifs.append((pattern, *span))
    return motifs, shown
