"""A text repaired: what the causal mode doubts is drafted anew, and kept if it likes that more."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import SequenceMatcher

import torch

from canvaslm.engine.checks import check_integer, check_number
from canvaslm.engine.encode import extend
from canvaslm.engine.opening import Opening
from canvaslm.engine.params import Params
from canvaslm.engine.rewriting.desk import Desk, Order, check_text, open_prompt, question
from canvaslm.engine.rewriting.page import SHOWN, Ending, Page, length_for
from canvaslm.engine.rewriting.write import Watch, judge, write
from canvaslm.errors import ParameterError

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")

Draft = list[int]  # token ids, -1 where one is to be written


@dataclass(frozen=True, kw_only=True)
class Change:
    """What stood at characters `start` to `end` of the text, and what stands there now."""

    start: int
    end: int
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """A text in which what the causal mode doubted was drafted anew.

    logprob_before, logprob  the causal log-probability of the text as it was and as it is, in nats;
                             it never falls
    rounds   drafts that were tried, of which some may have been worse and were dropped
    steps    passes of the network over canvases
    tokens   tokens of the text as it is
    prompt_tokens, cached_tokens
             of the prompt before it, and how many of them were known before
    """

    text: str
    changes: tuple[Change, ...]
    logprob_before: float
    logprob: float
    rounds: int
    steps: int
    seconds: float
    seed: int
    tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0


def repair(
    desk: Desk,
    text: str,
    *,
    prompt: str | None,
    doubt: float,
    rounds: int,
    params: Params | None,
    watch: Watch | None = None,
) -> Repaired:
    """What `LM.repair` does."""
    started = desk.clock()
    check_number("doubt", doubt, above_zero=True)
    check_integer("rounds", rounds, least=1)
    order = Order.of(desk, params, without=["constraint"])
    ids = read_text(desk, text)
    mender = Mender(desk, order, doubt=doubt, rounds=rounds, watch=watch)
    with ExitStack() as stack:
        asked = question("", "") if prompt is None else prompt
        opening = open_prompt(desk, asked, canvases=-(-len(ids) // mender.size))
        stack.callback(opening.prefix.free)
        going = opening.fork()
        stack.callback(going.prefix.free)
        prompt_tokens = opening.prefix.length
        new_ids = mender.mend_all(going, ids)
        closed = [[*row, mender.ending.close] for row in (ids, new_ids)]
        before, after = (math.fsum(judge(desk, opening, [row])[0]) for row in closed)
    new = desk.tokenizer.decode(new_ids) if after > before else text
    return Repaired(
        text=new,
        changes=compare(text, new),
        logprob_before=before,
        logprob=max(before, after),
        rounds=mender.tried,
        steps=mender.steps,
        seconds=desk.clock() - started,
        seed=order.seed,
        tokens=len(new_ids if after > before else ids),
        prompt_tokens=prompt_tokens,
        cached_tokens=opening.cached,
    )


def read_text(desk: Desk, text: str) -> list[int]:
    """The ids of a text. Raises ParameterError for none, or where they do not give it back."""
    check_text("text", text)
    if not text:
        raise ParameterError("text is empty: there is nothing to repair")
    ids = desk.tokenizer.encode(text, special=False)
    if desk.tokenizer.text_bytes(ids) != text.encode():
        raise ParameterError(
            "the model's tokenizer changes this text, so what is not doubted could not be kept: "
            "edit spans of it instead"
        )
    return ids


@torch.inference_mode()
def go_on(desk: Desk, opening: Opening, ids: Sequence[int]) -> Opening:
    """The opening with more of the answer behind it; its prefix is the same."""
    row = torch.tensor([list(ids)], device=desk.pool.device)
    return Opening(prefix=opening.prefix, last=extend(desk.network, [opening.prefix], row)[0, -1])


class Mender:
    """Repairs a text a canvas at a time; `tried` and `steps` count what that took."""

    def __init__(
        self, desk: Desk, order: Order, *, doubt: float, rounds: int, watch: Watch | None
    ) -> None:
        self._desk, self._order, self._watch = desk, order, watch
        self._doubt, self._rounds = doubt, rounds
        self._longest = desk.network.config.canvas_length
        self._shown = min(SHOWN, self._longest // 4)
        self.ending = Ending.of(desk)
        self.size = max(self._longest - self._shown - 2, 1)  # one closes, one a draft may have more
        self.tried = self.steps = 0

    def mend_all(self, opening: Opening, ids: Draft) -> Draft:
        """The tokens of the whole text; `opening` is moved on to its end."""
        said: Draft = []
        for start in range(0, len(ids), self.size):
            end = start + self.size
            rest = [*ids[end : end + self._shown], self.ending.close]
            mended = self.mend(opening, ids[start:end], rest)
            said += mended
            if end < len(ids):
                opening = go_on(self._desk, opening, mended)
        return said

    def mend(self, opening: Opening, ids: Draft, rest: Draft) -> Draft:
        """The tokens of one canvas, which goes on with `rest`."""
        logprobs = self._judge(opening, [ids], rest)[0]
        for round in range(self._rounds):
            runs = find_doubtful(logprobs[: len(ids)], self._doubt)
            if not runs:
                break
            room = self._longest - len(rest)
            drafts = [d for d in make_drafts(ids, runs, logprobs) if 0 < len(d) <= room]
            rows = self._write(opening, drafts, rest, round)
            for row, new in zip(rows, self._judge(opening, rows, rest), strict=True):
                if math.fsum(new) > math.fsum(logprobs) and self._readable(row):
                    ids, logprobs = row, new
        return ids

    def _write(
        self, opening: Opening, drafts: Sequence[Draft], rest: Draft, round: int
    ) -> list[Draft]:
        """The drafts written out, with everything else pinned."""
        length = length_for(max(map(len, drafts)) + len(rest), longest=self._longest)
        pages = [
            Page(
                size=len(draft),
                length=length,
                after=rest,
                ending=self.ending,
                given={place: id for place, id in enumerate(draft) if id >= 0},
            )
            for draft in drafts
        ]
        written = write(
            self._desk,
            [opening] * len(pages),
            pages,
            order=self._order,
            canvas=round,
            watch=self._watch,
        )
        self.tried += 1
        self.steps += max(one.steps for one in written)
        return [one.ids[: len(draft)] for one, draft in zip(written, drafts, strict=True)]

    def _judge(self, opening: Opening, rows: Sequence[Draft], rest: Draft) -> list[list[float]]:
        """Causal log-probabilities of the tokens, and of the rest of the canvas."""
        return judge(self._desk, opening, [[*row, *rest] for row in rows])

    def _readable(self, ids: Draft) -> bool:
        """Whether the tokens are whole characters."""
        try:
            self._desk.tokenizer.text_bytes(ids).decode()
        except UnicodeDecodeError:
            return False
        return True


def make_drafts(ids: Draft, runs: Sequence[range], logprobs: Sequence[float]) -> list[Draft]:
    """All that is doubtful at once, token for token; and the worst run of it alone, with one token
    less and one more."""
    doubtful = {place for run in runs for place in run}
    worst = min(runs, key=lambda run: min(logprobs[place] for place in run))
    head, tail = ids[: worst.start], ids[worst.stop :]
    return [
        [-1 if place in doubtful else id for place, id in enumerate(ids)],
        head + [-1] * (len(worst) - 1) + tail,
        head + [-1] * (len(worst) + 1) + tail,
    ]


def find_doubtful(logprobs: Sequence[float], doubt: float) -> list[range]:
    """Runs of neighbouring positions that have less than -doubt nats."""
    runs: list[range] = []
    for place, logprob in enumerate(logprobs):
        if logprob >= -doubt:
            continue
        if runs and runs[-1].stop == place:
            runs[-1] = range(runs[-1].start, place + 1)
        else:
            runs.append(range(place, place + 1))
    return runs


def compare(before: str, after: str) -> tuple[Change, ...]:
    """Where two texts differ, by whole words."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    changes = []
    for kind, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            start = sum(map(len, old[:i]))
            was, now = "".join(old[i:j]), "".join(new[k:m])
            changes.append(Change(start=start, end=start + len(was), before=was, after=now))
    return tuple(changes)
