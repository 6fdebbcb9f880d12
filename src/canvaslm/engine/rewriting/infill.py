"""A gap filled: what may stand between two texts, at the length that suits best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from canvaslm.engine.checks import check_flag, check_integer
from canvaslm.engine.params import Params
from canvaslm.engine.rewriting.around import Around, look_around
from canvaslm.engine.rewriting.attempt import Attempt, read_open, try_out, weigh
from canvaslm.engine.rewriting.desk import Desk, Order, check_text
from canvaslm.engine.rewriting.lengths import FLAT, best, search
from canvaslm.engine.rewriting.seams import NONE, find_seams
from canvaslm.engine.rewriting.sketch import sketch
from canvaslm.engine.rewriting.write import Watch, first_confidence
from canvaslm.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class GapRules:
    """How a gap is filled.

    keep     lengths of the best first steps that are written out; 0 skips the search
    divide   whether first steps are compared with what the model shows where nothing can be known
    natural  whether the model is also asked once without a length, to end the text itself
    sketch   whether the gap is also written left to right
    heal     whether a gap inside a word is also written together with the word's ends
    """

    keep: int = 3
    divide: bool = True
    natural: bool = True
    sketch: bool = True
    heal: bool = True

    def __post_init__(self) -> None:
        check_integer("keep", self.keep, least=0)
        for name in ("divide", "natural", "sketch", "heal"):
            check_flag(name, getattr(self, name))
        if not (self.keep or self.natural or self.sketch):
            raise ParameterError("keep=0 without natural and sketch leaves nothing to write")


DEFAULT = GapRules()


@dataclass(frozen=True, kw_only=True)
class Infilled:
    """A gap that was filled; `document` is what came before it, `text`, and what comes after.

    gap_tokens  tokens that the text took
    candidates  the lengths that were written out, and the causal score of the best text of each:
                mean nats per token, together with the beginning of what follows
    confidence  the lengths that were looked at, and the score of the first step at each
    steps       passes of the network over canvases, each over all candidates at work, and those
                that made a token of a sketch
    seed        with it the same request gives the same text
    prompt_tokens, cached_tokens
                of the prompt that asks for it, and how many of them were known before
    """

    text: str
    document: str
    gap_tokens: int
    candidates: Mapping[int, float]
    confidence: Mapping[int, float]
    steps: int
    seconds: float
    seed: int
    prompt_tokens: int = 0
    cached_tokens: int = 0


def infill(
    desk: Desk,
    prefix: str,
    suffix: str,
    *,
    max_gap: int,
    gap: int | None,
    params: Params | None,
    rules: GapRules = DEFAULT,
    watch: Watch | None = None,
) -> Infilled:
    """What `LM.infill` does."""
    started = desk.clock()
    most = check_gap(prefix, suffix, max_gap=max_gap, gap=gap)
    order = Order.of(desk, params)
    order.steering(desk, room=most, ends=True)  # refuses what cannot be, before any work
    free = order.params.constraint is None  # else the text alone has to match, and is shown alone
    confidence: dict[int, float] = {}
    looks = passes = 0
    with ExitStack() as stack:
        around = look_around(desk, stack, prefix, suffix, most=most, show=free)
        if gap is None and rules.keep and free:
            confidence, looks = look(desk, around, order=order, rules=rules)
        lengths = best(confidence, rules.keep) if gap is None else [gap]
        attempts = [Attempt(around=around, page=around.page(length)) for length in lengths]
        if gap is None and (rules.natural or not (lengths or rules.sketch)):
            attempts.append(Attempt(around=around, page=around.open_page()))
        if rules.heal and free:
            attempts += healed(desk, stack, prefix, suffix, lengths, most=most)
        written, steps = try_out(desk, attempts, order=order, watch=watch)
        if gap is None and rules.sketch:
            ids, passes = sketch(desk, around, order=order)
            written.append(read_open(desk, around, ids))
        texts = weigh(desk, around, written)
        prompt_tokens = around.opening.prefix.length
    return Infilled(
        text=texts[0].text,
        document=prefix + texts[0].text + suffix,
        gap_tokens=texts[0].tokens,
        candidates={one.tokens: one.score for one in reversed(texts)},
        confidence=dict(sorted(confidence.items())),
        steps=looks + steps + passes,
        seconds=desk.clock() - started,
        seed=order.seed,
        prompt_tokens=prompt_tokens,
        cached_tokens=around.opening.cached,
    )


def check_gap(prefix: str, suffix: str, *, max_gap: int, gap: int | None) -> int:
    """The most tokens that may be written. Raises ParameterError."""
    check_text("prefix", prefix)
    check_text("suffix", suffix)
    check_integer("max_gap", max_gap, least=1)
    if gap is None:
        return max_gap
    check_integer("gap", gap, least=1)
    if gap > max_gap:
        raise ParameterError(
            f"gap={gap} is larger than max_gap={max_gap}: set max_gap to at least {gap}"
        )
    return gap


def look(
    desk: Desk, around: Around, *, order: Order, rules: GapRules
) -> tuple[dict[int, float], int]:
    """The first step's scores by length, and the passes that it took to find them."""
    looks = 0

    def measure(lengths: Sequence[int]) -> list[float]:
        nonlocal looks
        looks += 1
        pages = [around.page(length) for length in lengths]
        return first_confidence(desk, around.opening, pages, order=order)

    bias = desk.length_bias if rules.divide else FLAT
    return search(measure, bias, most=around.most, keep=rules.keep), looks


def healed(
    desk: Desk,
    stack: ExitStack,
    prefix: str,
    suffix: str,
    lengths: Sequence[int],
    *,
    most: int,
) -> list[Attempt]:
    """The same lengths once more, written with the ends of the word that the gap is in."""
    seams = find_seams(prefix, suffix, desk.tokenizer)
    room = desk.network.config.canvas_length - 1 - seams.tokens
    if seams == NONE or most > room:
        return []
    around = look_around(desk, stack, prefix, suffix, most=most, seams=seams)
    vocab_size = desk.network.config.vocab_size
    attempts = []
    for length in lengths:
        page = around.page(length)
        rule = seams.rule(desk.tokenizer, size=page.size, vocab_size=vocab_size)
        if rule is not None:
            attempts.append(Attempt(around=around, page=replace(page, rules=[rule])))
    return attempts
