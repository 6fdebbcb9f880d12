"""A row's random choices are its own, whoever shares the batch."""

import torch

from canvaslm.diffusion.draws import CounterDraws
from canvaslm.diffusion.noise import UniformNoise
from canvaslm.diffusion.statistics import Statistics, statistics

VOCABULARY, LENGTH = 36, 12


def draws(*seeds: int) -> CounterDraws:
    rule = UniformNoise(vocab_size=VOCABULARY)
    return CounterDraws(seeds=seeds, length=LENGTH, rule=rule, device=torch.device("cpu"))


def rows(known: Statistics, first: int, end: int) -> Statistics:
    return Statistics(*(part[first:end] for part in known))


def test_company_changes_nothing() -> None:
    together, alone = draws(3, 9, 27), draws(9)
    known = statistics(torch.randn(3, LENGTH, VOCABULARY))
    for step in (1, 2, 9):
        place = {"canvas": 4, "step": step}
        assert torch.equal(together.noise([0, 1], **place)[1], alone.noise([0], **place)[0])
        mine = together.candidates([1, 2], rows(known, 1, 3), **place)[0]
        assert torch.equal(mine, alone.candidates([0], rows(known, 1, 2), **place)[0])


def test_the_same_seed_gives_the_same_choices_and_another_others() -> None:
    first, again, other = (
        source.noise([0], canvas=0, step=0) for source in (draws(5), draws(5), draws(6))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_noise_and_candidates_do_not_share_numbers() -> None:
    even = statistics(torch.zeros(1, LENGTH, VOCABULARY))
    source = draws(5)
    candidates = source.candidates([0], even, canvas=0, step=1)
    assert not torch.equal(candidates, source.noise([0], canvas=0, step=1))
