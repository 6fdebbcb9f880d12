"""Fitting a temperature to answers whose truth is known, and judging probabilities by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from canvaslm.engine.decide.calibration import KINDS, soften
from canvaslm.engine.decide.questions import Kind
from canvaslm.errors import ParameterError

SOFTEST, SHARPEST = 20.0, 0.05
BINS = 15
TINY = 1e-300  # what a probability of 0 counts as in a logarithm


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One question's uncalibrated log-probabilities, and the place of the right option."""

    kind: Kind
    log_p: Sequence[float]
    right: int


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Of answers with known truth: share right, mean negative log-likelihood in nats, ECE."""

    n: int
    accuracy: float
    nll: float
    ece: float


def negative_log_likelihood(cases: Sequence[Labelled], temperature: float) -> float:
    return -math.fsum(
        math.log(max(soften(case.log_p, temperature)[case.right], TINY)) for case in cases
    ) / len(cases)


def fit(cases: Sequence[Labelled]) -> float:
    """The temperature of least negative log-likelihood, within [SHARPEST, SOFTEST].

    The likelihood has one peak in 1 / T, so golden sections of its logarithm find it. A pull of
    (log T)^2 / 2 nats towards 1, spread over all cases, is what only a handful cannot outweigh.
    """

    def loss(log_t: float) -> float:
        return negative_log_likelihood(cases, math.exp(log_t)) + log_t**2 / (2 * len(cases))

    return math.exp(golden(loss, math.log(SHARPEST), math.log(SOFTEST)))


def golden(f: Callable[[float], float], low: float, high: float, *, within: float = 1e-3) -> float:
    """Where `f`, falling and then rising on [low, high], is least."""
    ratio = (math.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = f(a), f(b)
    while high - low > within:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = f(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = f(b)
    return (low + high) / 2


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One kind of question: its temperature, and the answers' quality without and with one.

    `after` is honest: each half of the cases is judged at the temperature fitted to the other.
    """

    temperature: float
    before: Quality
    after: Quality


def fit_all(cases: Sequence[Labelled]) -> dict[Kind, Fit]:
    """A fit for every kind of question among the cases. Raises ParameterError for too few."""
    fits: dict[Kind, Fit] = {}
    for kind in KINDS:
        chosen = [case for case in cases if case.kind == kind]
        if len(chosen) == 1:
            raise ParameterError(
                f"there is only 1 answer of kind {kind}: give 2 or more, better hundreds"
            )
        if chosen:
            fits[kind] = fit_kind(chosen)
    if not fits:
        raise ParameterError("there are no answers to fit a temperature to")
    return fits


def fit_kind(cases: Sequence[Labelled]) -> Fit:
    halves = cases[::2], cases[1::2]
    temperatures = fit(halves[1]), fit(halves[0])
    judged = [
        Labelled(kind=case.kind, log_p=[value / t for value in case.log_p], right=case.right)
        for half, t in zip(halves, temperatures, strict=True)
        for case in half
    ]
    return Fit(temperature=fit(cases), before=quality(cases), after=quality(judged))


def quality(cases: Sequence[Labelled]) -> Quality:
    """How good the probabilities are as they stand."""
    spread = [soften(case.log_p, 1.0) for case in cases]
    chosen = [max(range(len(p)), key=p.__getitem__) for p in spread]
    hits = [place == case.right for place, case in zip(chosen, cases, strict=True)]
    losses = [-math.log(max(p[case.right], TINY)) for p, case in zip(spread, cases, strict=True)]
    return Quality(
        n=len(cases),
        accuracy=sum(hits) / len(cases),
        nll=math.fsum(losses) / len(cases),
        ece=calibration_error([max(p) for p in spread], hits),
    )


def calibration_error(sure: Sequence[float], right: Sequence[bool], *, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of probability from share right, over equal bins.

    Guo et al., "On calibration of modern neural networks" (2017); weighted by how many fall into
    a bin.
    """
    gaps = [0.0] * bins
    for p, hit in zip(sure, right, strict=True):
        gaps[min(int(p * bins), bins - 1)] += p - hit
    return math.fsum(map(abs, gaps)) / len(sure)
