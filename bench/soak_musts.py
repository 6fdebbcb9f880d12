"""What has to hold in bench/soak.py, and whether it did."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
LONG_ENOUGH = 10.0
"""Minutes from which on memory has to be flat: a shorter run is all warming up."""
FLAT = 2.0
"""Per cent that memory may grow by."""
TERMINATED = 143
CLEAN = ("503", "429", "no connection", "closed unanswered", "error event: stopping")
"""What a client may see of a server that stops, besides right answers."""
ANSWERS = ("right", "wrong", "closed", "left", "answered before", "cut off")


@dataclass(frozen=True, kw_only=True)
class Must:
    """Something that has to hold; `held` is None where the run was too short to tell."""

    name: str
    wanted: str
    found: str
    held: bool | None


def musts(found: Json) -> list[Must]:
    """All that has to hold."""
    return [*in_the_storm(found), *after_it(found), *at_the_end(found)]


def in_the_storm(found: Json) -> list[Must]:
    """Of what became of requests."""
    total: Counter[str] = Counter()
    for outcomes in found["outcomes"].values():
        total.update(outcomes)
    unanswered = never(found["outcomes"])
    return [
        none("wrong answers", total, lambda what: what == "wrong"),
        none("stuck requests", total, lambda what: what in ("stuck", "kept open")),
        none("errors of the server", total, lambda what: what.startswith("5") or "event" in what),
        none("connections cut", total, lambda what: what in ("cut", "closed unanswered")),
        none("refused connections", total, lambda what: what == "no connection"),
        none("mistakes answered otherwise", total, lambda what: "unexpected" in what),
        none("odd refusals", total, lambda what: "should be" in what),
        Must(
            name="kinds of request that were never answered",
            wanted="0",
            found=", ".join(unanswered) or "0",
            held=not unanswered if found["minutes"] >= LONG_ENOUGH else None,
        ),
        all_right("chats alone that say what the package says", found["package"]),
    ]


def after_it(found: Json) -> list[Must]:
    """Of what the server holds."""
    after, growth = found["after"], found["memory_growth_percent"]
    pages = after["pages"] - after["cache_pages"]
    files = after["files"] - found["before"]["files"]
    errors, still = len(found["complaints"]), after["at_work"]
    return [
        Must(
            name="growth of memory",
            wanted=f"{FLAT:g} %",
            found=f"{growth:+.2f} %",
            held=growth <= FLAT if found["minutes"] >= LONG_ENOUGH else None,
        ),
        Must(name="requests still at work", wanted="0", found=f"{still:g}", held=not still),
        Must(name="pages held at the end", wanted="0", found=f"{pages:g}", held=not pages),
        Must(name="files open more than before", wanted="0", found=f"{files}", held=files <= 0),
        Must(name="errors in the log", wanted="0", found=f"{errors}", held=not errors),
    ]


def at_the_end(found: Json) -> list[Must]:
    """Of the stop under load and the new start."""
    outcomes, code = found["stopped"]["outcomes"], found["stopped"]["exit_code"]
    return [
        none("wrong while stopping", outcomes, lambda what: what == "wrong"),
        none("unclean ends while stopping", outcomes, unclean),
        Must(
            name="exit code of SIGTERM",
            wanted=str(TERMINATED),
            found=str(code),
            held=code == TERMINATED,
        ),
        all_right("right after a new start", found["again"]),
    ]


def none(name: str, outcomes: Mapping[str, int], bad: Callable[[str], bool]) -> Must:
    """That nothing of the kind is among the outcomes."""
    caught = {outcome: count for outcome, count in outcomes.items() if bad(outcome)}
    count = sum(caught.values())
    said = "0" if not count else f"{count}: {caught}"
    return Must(name=name, wanted="0", found=said, held=not count)


def all_right(name: str, counted: Json) -> Must:
    asked, right = counted["asked"], counted["right"]
    return Must(name=name, wanted=str(asked), found=str(right), held=right == asked)


def unclean(outcome: str) -> bool:
    return outcome not in ("right", "wrong", *CLEAN)


def never(outcomes: Mapping[str, Json]) -> list[str]:
    """Kinds that were asked and never came to an answer."""

    def answer(what: str) -> bool:
        return what in ANSWERS or (what.startswith("4") and what != "429")

    return [kind for kind, seen in outcomes.items() if not any(map(answer, seen))]


def flatness(samples: Sequence[Json]) -> float:
    """Growth of resident memory from the second fifth of the time to the last, in per cent."""
    fifth = max(len(samples) // 5, 1)
    early, late = (
        statistics.median(sample["resident"] for sample in part)
        for part in (samples[fifth : 2 * fifth] or samples, samples[-fifth:])
    )
    return float(100 * (late / early - 1))
