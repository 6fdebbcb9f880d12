"""Answers of a server that speaks OpenAI's chat completions, ours or another's."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

from canvaslm.errors import ParameterError
from canvaslm.eval.asking import Asking
from canvaslm.eval.trials.local import Answered
from canvaslm.eval.trials.record import Item, Reply
from canvaslm.eval.trials.wire import Wire, wrong

AT_ONCE = 4
"""Requests at a time where nothing is said."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A model behind a server. What `usage` tells beyond OpenAI's fields is read where it is there.

    `asking.batch` requests are under way at a time. Beyond OpenAI's parameters only those are sent
    that were asked for: mode, effort, and one step for one shot.
    """

    wire: Wire
    model: str
    clock: Callable[[], float] = time.perf_counter

    @classmethod
    def at(cls, url: str, *, key: str = "") -> Remote:
        """The model at `http://host/v1`, or `http://host/v1#name` where there are several.

        Raises ParameterError for another URL or no such model, ServingError.
        """
        base, _, name = url.partition("#")
        wire = Wire.to(base, key=key)
        return cls(wire=wire, model=choose(wire.ask("GET", "/models"), name, base))

    def answer(
        self, items: Sequence[Item], asking: Asking, done: Collection[tuple[str, int]] = ()
    ) -> Iterator[Answered]:
        """Answers in the order in which they come. Raises ServingError; those before it are kept,
        and what is under way then is waited for and lost."""
        waiting = iter([item for item in items if item.key not in done])
        under_way: dict[Future[Reply], Item] = {}
        last = self.clock()
        with ThreadPoolExecutor(asking.batch) as pool:
            for item in waiting:
                under_way[pool.submit(self._ask, item, asking)] = item
                if len(under_way) >= asking.batch:
                    group, last = self._ended(under_way, last)
                    yield group
            while under_way:
                group, last = self._ended(under_way, last)
                yield group

    def _ended(self, under_way: dict[Future[Reply], Item], last: float) -> tuple[Answered, float]:
        ended, _ = wait(under_way, return_when=FIRST_COMPLETED)
        now = self.clock()
        spent = (now - last) / len(ended)
        group = []
        for future in sorted(ended, key=lambda future: under_way[future].number):
            item, reply = under_way.pop(future), future.result()
            group.append((item, replace(reply, spent=spent)))
        return group, now

    def _ask(self, item: Item, asking: Asking) -> Reply:
        begun = self.clock()
        document = self.wire.ask("POST", "/chat/completions", self.body(item, asking))
        return read(document, seconds=self.clock() - begun)

    def body(self, item: Item, asking: Asking) -> dict[str, Any]:
        """The request for one case."""
        ours = {
            "mode": "ar" if asking.mode == "ar" else None,
            "max_steps": asking.params.max_steps,
            "effort": asking.effort,
        }
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": item.example.prompt}],
            "max_tokens": asking.max_tokens,
            "seed": asking.seed,
            **{name: value for name, value in ours.items() if value is not None},
        }


def choose(models: Mapping[str, Any], name: str, base: str) -> str:
    """The model called `name`, the only adapter of that name, or the only model there is.

    Raises ParameterError, ServingError.
    """
    try:
        names = [str(model["id"]) for model in models["data"]]
    except (KeyError, TypeError):
        raise wrong(base, "its list of models is not OpenAI's") from None
    if name in names or (not name and len(names) == 1):
        return name or names[0]
    adapters = [listed for listed in names if listed.endswith(f":{name}")]
    if name and len(adapters) == 1:
        return adapters[0]
    if name:
        raise ParameterError(f"{base} has no model {name!r}: it has {', '.join(names)}")
    raise ParameterError(
        f"{base} has {len(names)} models: choose one as {base}#NAME of {', '.join(names)}"
    )


def read(document: Mapping[str, Any], *, seconds: float) -> Reply:
    """What a server answered. Raises ServingError for what is not a chat completion."""
    try:
        text = document["choices"][0]["message"]["content"]
        usage = document.get("usage") or {}
        return Reply(
            text=text or "",
            tokens=int(usage.get("completion_tokens", 0)),
            steps=_count(usage.get("steps")),
            canvases=_count(usage.get("canvases")),
            seconds=seconds,
            spent=seconds,
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise wrong("the server", "its answer is not a chat completion") from None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
