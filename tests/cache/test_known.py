"""Prompts find what they have in common, with its contents, and every page is given back."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
import torch

from canvaslm.cache.known import Known, Trail
from canvaslm.cache.pages import Page, Pool, Prefix
from canvaslm.cache.pieces import LEAST, Piece
from canvaslm.errors import OutOfMemoryError, ParameterError
from canvaslm.model.config import LayerConfig, ModelConfig, RopeConfig

ROPE = RopeConfig(theta=1e4)
SIZE = 16
CLOSE = 0
WINDOWS = (6, None, 20, 1)
CONFIG = ModelConfig(
    vocab_size=8,
    hidden_size=8,
    intermediate_size=8,
    layers=tuple(
        LayerConfig(heads=1, kv_heads=1, head_dim=2, window=window, rope=ROPE) for window in WINDOWS
    ),
)


def new_pool(*, limit: int | None = None, known: int | None = None) -> Pool:
    pool = Pool(CONFIG, page_size=SIZE, limit=limit, breaks=frozenset([CLOSE]))
    pool.known = Known(pool, limit=known)
    return pool


def known_of(pool: Pool) -> Known:
    assert pool.known is not None
    return pool.known


def marks(ids: Sequence[int]) -> list[float]:
    """A number for each token that depends on all tokens before it, as K and V do."""
    found, mark = [], 1
    for id in ids:
        mark = (mark * 31 + id + 7) % 1_000_003
        found.append(float(mark))
    return found


def write(prefix: Prefix, said: Sequence[int], ids: Sequence[int]) -> None:
    """Put K and V of `ids` behind `said` into every layer."""
    new = torch.tensor(marks([*said, *ids])[len(said) :])[None, :, None].expand(1, -1, 2)
    for layer in range(len(WINDOWS)):
        prefix.write(layer, new, -new)
    prefix.advance(len(ids))


def check_contents(prefix: Prefix, said: Sequence[int]) -> None:
    assert prefix.length == len(said)
    expected = marks(said)
    for layer, window in enumerate(WINDOWS):
        read: list[float] = []
        for keys, values in prefix.segments(layer):
            assert torch.equal(keys, -values)
            read += keys[0, :, 0].tolist()
        reach = 0 if window is None else max(len(said) - window + 1, 0)
        assert read == expected[reach:]


def encode(pool: Pool, ids: Sequence[int]) -> Trail:
    """What the engine does with a prompt; its prefix is to be freed."""
    trail = known_of(pool).find(ids)
    done = trail.prefix.length
    check_contents(trail.prefix, ids[:done])
    for piece in pool.cut(ids[done:], at=done):
        write(trail.prefix, ids[:done], piece.ids)
        done += len(piece.ids)
        trail.remember(piece)
    return trail


def passing(pool: Pool, ids: Sequence[int]) -> int:
    """Encode a prompt and free it; how many of its tokens were found."""
    before = known_of(pool).stats.found
    encode(pool, ids).prefix.free()
    return known_of(pool).stats.found - before


def held(pool: Pool) -> Counter[Page]:
    """How often the tree holds each page."""
    nodes = known_of(pool)._nodes
    return Counter(page for node in nodes for page in node.pages if page is not None)


def turn(length: int, id: int) -> list[int]:
    return [*[id] * (length - 1), CLOSE]


def test_a_prompt_goes_on_where_another_ended_its_turn() -> None:
    pool = new_pool()
    first = [*turn(10, 1), *turn(14, 2)]
    assert passing(pool, [*first, 3, 3]) == 0
    assert passing(pool, [*first, 4, 4, 4]) == 24
    assert passing(pool, [*first[:10], 5]) == 10
    assert passing(pool, [6, *first]) == 0
    few = [*turn(LEAST - 1, 1), *[2] * 4]  # a turn too short to be a piece of its own
    assert [passing(pool, few) for _ in range(2)] == [0, 0]


def test_a_monitor_is_told_what_was_found() -> None:
    pool = new_pool()
    for last in (3, 4):
        passing(pool, [*[1] * SIZE, last])
    counted = known_of(pool).stats.counted
    assert counted == {"cache_hits": 16, "cache_misses": 18, "cache_pages": 3, "evictions": 0}


def test_a_token_is_left_to_encode() -> None:
    pool = new_pool()
    ids = [*[1] * SIZE, *[2] * SIZE]
    assert [passing(pool, ids) for _ in range(2)] == [0, SIZE]
    assert passing(pool, [*ids, 3]) == 2 * SIZE
    assert passing(pool, []) == 0


def test_pieces_do_not_depend_on_what_came_before_them() -> None:
    pool, draw = new_pool(), random.Random(1)
    for _ in range(200):
        ids = draw.choices(range(4), k=draw.randrange(1, 80))
        pieces = list(pool.cut(ids))
        assert [id for piece in pieces for id in piece.ids] == ids
        assert all(piece.whole for piece in pieces[:-1])
        done = 0
        for number, piece in enumerate(pieces):
            assert list(pool.cut(ids[done:], at=done)) == pieces[number:]
            done += len(piece.ids)
            assert piece.whole <= (done % SIZE == 0 or ids[done - 1] == CLOSE)
            assert piece.whole <= (done % SIZE == 0 or len(piece.ids) >= LEAST)


def test_short_turns_share_the_page_they_are_in() -> None:
    pool = new_pool()
    encode(pool, [*turn(8, 1), *turn(8, 2), 3]).prefix.free()
    # the layer with a window of 1 sees nothing of what a page's last token ends
    assert (known_of(pool).stats.nodes, pool.in_use) == (2, 4)
    encode(pool, [*turn(8, 1), *turn(8, 4), 3]).prefix.free()
    assert (known_of(pool).stats.nodes, pool.in_use) == (3, 7)


def test_a_prompt_that_was_broken_off_leaves_its_pieces() -> None:
    pool = new_pool()
    ids = [*[1] * SIZE, *[2] * SIZE, *[3] * SIZE, 4]
    trail = known_of(pool).find(ids)
    for number, piece in enumerate(list(pool.cut(ids))[:2]):
        write(trail.prefix, ids[: number * SIZE], piece.ids)
        trail.remember(piece)
    trail.prefix.write(1, *torch.ones(2, 1, 9, 2))
    trail.prefix.free()
    assert passing(pool, ids) == 2 * SIZE


def test_two_prompts_at_a_time_make_one_node_each() -> None:
    pool = new_pool()
    ids = [*turn(10, 1), *turn(14, 2), 3]
    trails = [known_of(pool).find(ids) for _ in range(3)]
    done = 0
    for piece in pool.cut(ids):
        for trail in trails:
            write(trail.prefix, ids[:done], piece.ids)
            trail.remember(piece)
        done += len(piece.ids)
    assert known_of(pool).stats.nodes == 3  # the second turn goes over the end of a page
    for trail in trails:
        check_contents(trail.prefix, ids)
        trail.prefix.free()
    assert pool.in_use == known_of(pool).pages
    assert passing(pool, ids) == 24


def test_what_was_evicted_under_way_is_not_remembered_again() -> None:
    pool = new_pool()
    ids = [*[1] * SIZE, *[2] * SIZE, 3]
    trail = known_of(pool).find(ids)
    write(trail.prefix, [], ids[:SIZE])
    trail.remember(Piece(tuple(ids[:SIZE]), True))
    known_of(pool).clear()
    write(trail.prefix, ids[:SIZE], ids[SIZE : 2 * SIZE])
    trail.remember(Piece(tuple(ids[SIZE : 2 * SIZE]), True))
    assert known_of(pool).pages == 0
    trail.prefix.free()
    assert pool.in_use == 0


def test_the_prompt_used_longest_ago_goes_first() -> None:
    pool = new_pool(limit=12)
    prompts = [[*[id] * SIZE, 5] for id in range(1, 4)]
    for ids in (*prompts[:2], prompts[0]):
        passing(pool, ids)
    passing(pool, prompts[2])
    assert known_of(pool).stats.evicted == 1
    assert [passing(pool, ids) for ids in (prompts[0], prompts[1])] == [SIZE, 0]


def test_the_middle_of_a_long_text_keeps_its_full_layers_only_where_room_is_short() -> None:
    pool = new_pool(known=30)
    ids = [id for page in range(12) for id in [page % 7 + 1] * SIZE]
    passing(pool, [*ids, 1])
    stats = known_of(pool).stats
    assert stats.thinned
    assert not stats.evicted
    assert passing(pool, [*ids, 2]) == len(ids)  # it still ends as it did
    assert passing(pool, [*ids[: 5 * SIZE], 7, 7]) == 0  # but cannot be left in its middle
    assert passing(pool, [*ids[: 5 * SIZE], 7, 7]) == 5 * SIZE  # until somebody has


def test_pages_in_use_are_never_evicted() -> None:
    pool = new_pool(limit=12)
    trails = [encode(pool, [id] * 2 * SIZE) for id in (1, 2)]
    with pytest.raises(OutOfMemoryError, match=r"all 12 pages of 16 tokens .* raise the limit"):
        encode(pool, [3] * 2 * SIZE)
    for id, trail in zip((1, 2), trails, strict=True):
        check_contents(trail.prefix, [id] * 2 * SIZE)
        trail.prefix.free()
    encode(pool, [3] * 2 * SIZE).prefix.free()


def test_needs_and_room_say_what_a_write_takes() -> None:
    pool, draw = new_pool(limit=60), random.Random(3)
    prefixes = [encode(pool, turn(12, id)).prefix for id in (1, 2)]
    prefixes += [prefixes[0].fork(), known_of(pool).find([*turn(12, 1), 1]).prefix]
    for _ in range(8):
        prefix, count = draw.choice(prefixes), draw.randrange(1, 40)
        with prefix.fork() as fork, fork.fork() as other:
            before, needed = pool.in_use, other.needs(count)
            new = torch.ones(1, count, 2)
            for layer in range(len(WINDOWS)):
                other.write(layer, new, new)
            assert pool.in_use - before == needed
    for prefix in prefixes:
        prefix.free()
    assert pool.has_room(60)
    assert not pool.has_room(61)
    assert Pool(CONFIG).has_room(1000)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_at_least_one_page(limit: int) -> None:
    with pytest.raises(ParameterError, match="limit must be at least 1 page"):
        Pool(CONFIG, limit=limit)
    with pytest.raises(ParameterError, match="limit must be at least 1 page"):
        Known(Pool(CONFIG), limit=limit)


@dataclass(eq=False)
class Going:
    """A request of the random test: what its prefix says, and the pieces still to come."""

    trail: Trail
    said: list[int]
    left: Iterator[Piece]
    ended: bool = False


@dataclass
class World:
    """Random requests beside a simple model: `paths` are the prompts' beginnings that are known."""

    draw: random.Random
    pool: Pool
    pressure: bool
    going: list[Going] = field(default_factory=list)
    paths: set[tuple[int, ...]] = field(default_factory=set)
    full: int = 0

    def prompt(self) -> list[int]:
        """A few turns out of few, so that many begin alike."""
        turns = [turn(4 + 5 * n, n) for n in range(1, 5)]
        ids = [id for _ in range(self.draw.randrange(5)) for id in self.draw.choice(turns)]
        return [*ids, *self.draw.choices([1, 2], k=self.draw.randrange(4))]

    def open(self) -> None:
        ids = self.prompt()
        trail = known_of(self.pool).find(ids)
        found = trail.prefix.length
        assert found == 0 or found < len(ids)
        if not self.pressure:
            ends = [0]
            for piece in self.pool.cut(ids):
                ends.append(ends[-1] + len(piece.ids))
            assert found == max(end for end in ends if end == 0 or self.knows(ids, end))
        left = self.pool.cut(ids[found:], at=found)
        self.going.append(Going(trail, ids[:found], left))

    def knows(self, ids: list[int], end: int) -> bool:
        return tuple(ids[:end]) in self.paths and end < len(ids)

    def step(self, one: Going) -> None:
        """Encode the next piece, or an answer where the prompt is over."""
        piece = None if one.ended else next(one.left, None)
        new = self.draw.choices(range(1, 8), k=self.draw.randrange(1, 9))
        write(one.trail.prefix, one.said, new if piece is None else piece.ids)
        one.said += new if piece is None else piece.ids
        one.ended = piece is None
        if piece is not None:
            one.trail.remember(piece)
            if piece.whole and not self.pressure and one.trail.node is not None:
                self.paths.add(tuple(one.said))

    def fork(self, one: Going) -> None:
        other = one.trail.prefix.fork()
        trail = Trail(one.trail.known, other, None)
        self.going.append(Going(trail, list(one.said), iter(()), ended=True))

    def break_off(self, one: Going) -> None:
        """A pass that wrote some layers and then was cancelled."""
        count = self.draw.randrange(1, 20)
        one.trail.prefix.write(1, *torch.full((2, 1, count, 2), -5.0))

    def free(self, one: Going) -> None:
        one.trail.prefix.free()
        self.going.remove(one)

    def clear(self) -> None:
        known_of(self.pool).clear()
        self.paths.clear()

    def act(self) -> None:
        kind = self.draw.choices(
            ["open", "step", "fork", "break_off", "free", "clear", "limit"],
            [20, 60, 5, 5, 26, 0.3, 1 if self.pressure else 0],
        )[0]
        if kind == "limit":
            known_of(self.pool).limit = self.draw.choice([None, 5, 15, 30])
        elif kind in ("open", "clear"):
            getattr(self, kind)()
        elif self.going:
            one = self.draw.choice(self.going)
            try:
                getattr(self, kind)(one)
            except OutOfMemoryError:
                self.full += 1
                self.free(one)

    def check(self) -> None:
        """No page is lost, none is held that nobody has, and all say what was written."""
        pool, tree = self.pool, held(self.pool)
        runs = [run for one in self.going for run in one.trail.prefix._runs]
        holders = tree + Counter(page for run in runs for page in run.pages)
        assert all(page.holders == count for page, count in holders.items())
        assert pool.in_use == len(holders)
        assert pool.limit is None or pool.in_use <= pool.limit
        idle = [page for pages in pool._idle.values() for page in pages]
        assert len(set(idle)) == len(idle)
        assert holders.keys().isdisjoint(idle)
        assert len(tree) == known_of(pool).pages
        for one in self.going:
            check_contents(one.trail.prefix, one.said)


@pytest.mark.parametrize("pressure", [False, True])
def test_ten_thousand_operations_lose_no_page(pressure: bool) -> None:
    pool = new_pool(limit=70 if pressure else None)
    world = World(random.Random(5), pool, pressure)
    for number in range(10_000):
        world.act()
        if number % 40 == 0:
            world.check()
    stats = known_of(pool).stats
    assert stats.found
    assert bool(stats.evicted and stats.thinned and world.full) == pressure
    for one in list(world.going):
        world.free(one)
    assert pool.in_use == known_of(pool).pages
    known_of(pool).clear()
    assert (pool.in_use, known_of(pool).pages, known_of(pool).stats.nodes) == (0, 0, 0)
