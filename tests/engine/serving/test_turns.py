"""Whose turn it is, on requests that only count."""

import torch

from canvaslm.engine.serving.fiber import Fiber
from canvaslm.engine.serving.line import Ask
from canvaslm.engine.serving.ticket import Ticket
from canvaslm.engine.serving.turns import OLDEST, SHORT, Turns


def fiber(turns: Turns, client: str, *, attained: int = 0) -> Fiber:
    turns.enter(client)
    ticket = Ticket(queued=0.0, wake=lambda: None, tell=None)
    ids_1N = torch.zeros(1, 256, dtype=torch.long)
    ask = Ask(
        network=None,
        kind="denoise",
        ids_BN=ids_1N,
        positions_BN=ids_1N,
        attend=lambda layer, q, k, v: q,
    )
    made = Fiber(work=lambda lm: [], ticket=ticket, client=client, deadline=None, ask=ask)
    made.attained = attained
    return made


def play(turns: Turns, fibers: list[Fiber], count: int) -> list[Fiber]:
    """Who goes first in so many turns of one each."""
    went = []
    for turn in range(count):
        first = turns.order(fibers)[0]
        turns.note([first], turn=turn + 1)
        went.append(first)
    return went


def test_a_short_request_goes_before_long_ones() -> None:
    turns = Turns()
    long = [fiber(turns, f"long {i}", attained=64 * SHORT) for i in range(20)]
    short = fiber(turns, "short")
    went = play(turns, [*long, short], 12)
    assert went.count(short) >= 12 - 12 // OLDEST


def test_nobody_is_forgotten() -> None:
    turns = Turns()
    long = fiber(turns, "long", attained=64 * SHORT)
    went = []
    for turn in range(400):
        fresh = [fiber(turns, f"c{i}") for i in range(3)]  # always new, always first by rank
        fresh[0].waited = fresh[1].waited = fresh[2].waited = turn
        first = turns.order([long, *fresh])[0]
        turns.note([first], turn=turn)
        went.append(first)
    assert went.count(long) >= 400 // OLDEST - 1


def test_a_client_cannot_crowd_others_out_with_ever_new_requests() -> None:
    turns = Turns()
    long = fiber(turns, "long", attained=64 * SHORT)
    crowd = [fiber(turns, "crowd") for _ in range(30)]
    went = []
    for turn in range(400):
        crowd = [one if one.attained < SHORT else fiber(turns, "crowd") for one in crowd]
        first = turns.order([long, *crowd])[0]
        turns.note([first], turn=turn + 1)
        went.append(first)
    assert went.count(long) >= 400 // (2 * OLDEST)


def test_clients_share_whatever_the_number_of_their_requests() -> None:
    turns = Turns()
    many = [fiber(turns, "many") for _ in range(9)]
    one = fiber(turns, "one")
    went = play(turns, [*many, one], 15)
    assert 5 <= went.count(one) <= 9


def test_a_client_that_comes_back_has_saved_nothing_up() -> None:
    turns = Turns()
    old = fiber(turns, "old")
    play(turns, [old], 50)
    new = fiber(turns, "new")
    assert turns.used["new"] == turns.used["old"]
    new.attained = old.attained
    went = play(turns, [old, new], 20)
    assert 8 <= went.count(new) <= 12


def test_long_requests_do_not_lengthen_a_short_ones_turn() -> None:
    turns = Turns()
    long = [fiber(turns, f"long {i}", attained=64 * SHORT) for i in range(3)]
    short = [fiber(turns, "short"), fiber(turns, "short")]
    assert turns.peers([*short, *long]) == set(short)
    assert turns.peers([long[0], *short]) == {long[0]}
    assert turns.peers(long) == set(long)
