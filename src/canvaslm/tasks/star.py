"""A star of paths, its edges shuffled: name the one path from the centre to a given end.

Path-star graphs (arXiv:2403.06963, arXiv:2602.19980): arms of equal length leave a centre, and
only the arm that ends in the goal answers. Its first step cannot be told from the others without
following the arm back from the goal, so whoever writes left to right has to look all the way ahead.
An edge is written inwards: a node, then the one it hangs on.
"""

import random
from dataclasses import dataclass
from typing import ClassVar

from canvaslm.tasks.task import Example, Score, Split, check_request, split_of

LABELS = "ABCDFGHIJKLMOPQRTUVWXYZ"
"""Names of nodes. Without E, N and S no two of them are one token of the embedded model."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A star: `arms` lists the nodes behind the centre, outwards; the first one is asked for."""

    centre: str
    arms: tuple[str, ...]

    @property
    def path(self) -> str:
        """The nodes from the centre to the goal, both included."""
        return self.centre + self.arms[0]

    @property
    def edges(self) -> list[str]:
        """Every edge as its two nodes, inwards."""
        return [
            outer + inner
            for arm in self.arms
            for inner, outer in zip(self.centre + arm, arm, strict=False)
        ]


class Star:
    """The task; a bin is the number of arms and the edges in each."""

    name: ClassVar[str] = "star"
    bins: ClassVar[tuple[str, ...]] = ("2x3", "3x3", "2x5", "3x5", "5x4")
    drills: ClassVar[tuple[str, ...]] = ("1x3", "1x5", "1x7", "1x3<", "1x5<", "1x7<", "2x3<")
    """For training, never drawn unasked: chains, where there is nothing to choose, and with < the
    way back from the goal, where there is nothing to guess. What is learnt is to look up edges."""

    def sample(self, rng: random.Random, *, split: Split, bin: str | None = None) -> Example:
        """A graph with random names. The path decides the split: no held-out path was ever an
        answer in training, in whatever graph."""
        check_request(self, split=split, bin=None if bin in self.drills else bin)
        chosen = rng.choice(self.bins) if bin is None else bin
        arms, length = map(int, chosen.rstrip("<").split("x"))
        while True:
            graph = random_graph(rng, arms=arms, length=length)
            if split_of(graph.path) == split:
                break
        back = chosen.endswith("<")
        return Example(
            task=self.name,
            prompt=ask(graph, rng, back=back),
            answer=graph.path[::-1] if back else graph.path,
            bin=chosen,
            canonical=graph.path,
        )

    def score(self, example: Example, text: str) -> Score:
        """Correct when `text` is the path. `first` is the step at which guessing starts."""
        path, found = example.answer, text.strip()
        hits = sum(a == b for a, b in zip(path, found, strict=False))
        return Score(
            correct=found == path,
            details={
                "first": float(found[:2] == path[:2]),
                "nodes": hits / max(len(path), len(found)),
            },
        )


def random_graph(rng: random.Random, *, arms: int, length: int) -> Graph:
    """A star whose nodes have random names, all different."""
    centre, *rest = rng.sample(LABELS, 1 + arms * length)
    nodes = "".join(rest)
    return Graph(
        centre=centre,
        arms=tuple(nodes[i * length : (i + 1) * length] for i in range(arms)),
    )


def ask(graph: Graph, rng: random.Random, *, back: bool = False) -> str:
    """All edges in random order, then centre and goal, or goal and centre."""
    edges, goal = graph.edges, graph.path[-1]
    rng.shuffle(edges)
    ends = f"{goal}<{graph.centre}" if back else f"{graph.centre}>{goal}"
    return f"Path in:\n{','.join(edges)}\n{ends}"
