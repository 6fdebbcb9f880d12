"""The posterior is exact: every number equals the one found by listing all texts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest
import torch
from tests.control.constraint.automata import allowed_texts, joint, random_automaton
from torch import Tensor

from canvaslm.control.automaton import TokenAutomaton
from canvaslm.control.constraint.columns import columns
from canvaslm.control.constraint.lattice import build_lattice
from canvaslm.control.constraint.machine import complete
from canvaslm.control.constraint.posterior import Posterior, condition
from canvaslm.errors import ConstraintError

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A random constraint on a random canvas."""

    automaton: TokenAutomaton
    ends: frozenset[int]
    state: int
    room: int
    pins: dict[int, int]
    z_LV: Tensor

    @classmethod
    def of(cls, seed: int) -> Case:
        rng = np.random.default_rng(seed)
        size, length = int(rng.integers(3, 7)), int(rng.integers(1, 6))
        ends = frozenset(rng.choice(size, int(rng.integers(1, 3)), replace=False).tolist())
        automaton = random_automaton(rng, states=int(rng.integers(1, 6)), size=size, ends=ends)
        places = np.flatnonzero(rng.random(length) < rng.choice([0, 0.5]))
        z_LV = torch.from_numpy(rng.normal(size=(length, size)) * rng.choice([0.1, 3, 40]))
        pins = {int(i): int(rng.integers(size)) for i in places}
        for i, id in pins.items():
            z_LV[i] = -math.inf
            z_LV[i, id] = 0.0
        return cls(
            automaton=automaton,
            ends=ends,
            state=int(rng.integers(automaton.states)),
            room=int(rng.integers(1, 9)),
            pins=pins,
            z_LV=z_LV,
        )

    @cached_property
    def texts(self) -> list[tuple[int, ...]]:
        return allowed_texts(
            self.automaton,
            ends=self.ends,
            state=self.state,
            room=self.room,
            length=len(self.z_LV),
            pins=self.pins,
        )

    def posterior(self) -> tuple[Posterior, Tensor]:
        """And the conditioned probabilities."""
        machine = complete(self.automaton, self.ends)
        lattice = build_lattice(
            machine, state=self.state, room=self.room, length=len(self.z_LV), pins=self.pins
        )
        z_LV = self.z_LV.clone()
        return condition(z_LV, lattice, columns(machine, CPU)), z_LV.softmax(dim=-1)


def split(seeds: range) -> tuple[list[Case], list[Case]]:
    cases = [Case.of(seed) for seed in seeds]
    return [c for c in cases if c.texts], [c for c in cases if not c.texts]


POSSIBLE, IMPOSSIBLE = split(range(200))


def test_there_are_cases_of_both_kinds() -> None:
    assert len(POSSIBLE) > 100
    assert len(IMPOSSIBLE) > 30


def test_probabilities_are_the_exact_marginals() -> None:
    for case in POSSIBLE:
        texts = case.texts
        p_N = joint(texts, case.z_LV)
        expected_LV = case.z_LV.softmax(dim=-1)
        bound = len(texts[0])
        expected_LV[:bound] = 0.0
        places = torch.arange(bound).expand(len(texts), bound), torch.tensor(texts)
        expected_LV.index_put_(places, p_N[:, None].expand(-1, bound), accumulate=True)
        _, p_LV = case.posterior()
        torch.testing.assert_close(p_LV, expected_LV, rtol=1e-10, atol=1e-10)


def test_the_best_canvas_is_the_likeliest_text() -> None:
    for case in POSSIBLE:
        texts = case.texts
        best_L = case.posterior()[0].best()
        bound = len(texts[0])
        assert tuple(best_L[:bound].tolist()) == texts[int(joint(texts, case.z_LV).argmax())]
        assert best_L[bound:].tolist() == case.z_LV[bound:].argmax(dim=-1).tolist()


def test_exactly_the_impossible_is_refused() -> None:
    for case in IMPOSSIBLE:
        with pytest.raises(ConstraintError, match=r"the pins contradict|shortest text"):
            case.posterior()


def test_the_chain_gives_every_text_its_probability() -> None:
    for case in POSSIBLE[::3]:
        chain = case.posterior()[0].chain
        machine = complete(case.automaton, case.ends)
        for text, expected in zip(case.texts, joint(case.texts, case.z_LV), strict=True):
            p, state = 1.0, 0
            for i, id in enumerate(text):
                layer, label = chain.lattice.layers[i], machine.class_of_V[id]
                edges = np.arange(layer.first_N[state], layer.first_N[state + 1])
                (edge,) = edges[layer.label_E[edges] == label]
                mates_L = case.z_LV[i, machine.class_of_V == label]
                p *= chain.odds[i][edge] * (case.z_LV[i, id] - mates_L.logsumexp(0)).exp().item()
                state = layer.target_E[edge]
            assert p == pytest.approx(expected.item(), rel=1e-9, abs=1e-15)


def test_draws_have_the_joint_distribution() -> None:
    draws = 500
    rng = np.random.default_rng(0)
    for case in [c for c in POSSIBLE if len(c.texts) > 2][:6]:
        posterior, p_LV = case.posterior()
        seen = dict.fromkeys(case.texts, 0)
        for u in torch.from_numpy(rng.random((draws, 2, len(p_LV)))):
            seen[tuple(posterior.draw(u[0], u[1])[: case.room].tolist())] += 1
        expected_N = joint(case.texts, case.z_LV) * draws
        found_N = torch.tensor(list(seen.values()))
        common_N = expected_N >= 5
        squares_N = (found_N - expected_N).square() / expected_N
        freedom = int(common_N.sum())
        assert squares_N[common_N].sum() < freedom + 4 * math.sqrt(2 * freedom)
        assert found_N[~common_N].sum() < expected_N[~common_N].sum() * 2 + 10


def test_every_draw_is_allowed_and_keeps_the_pins() -> None:
    rng = np.random.default_rng(1)
    for case in POSSIBLE:
        texts, (posterior, p_LV) = set(case.texts), case.posterior()
        for _ in range(2):
            u = torch.from_numpy(rng.random((2, len(p_LV))))
            drawn_L = posterior.draw(u[0], u[1])
            assert tuple(drawn_L[: case.room].tolist()) in texts
            assert all(drawn_L[i] == id for i, id in case.pins.items())
            again_L = posterior.draw(u[0], u[1])
            assert torch.equal(drawn_L, again_L)


@pytest.mark.parametrize("extreme", [1e4, 1e9, 1e20])
def test_extreme_logits_make_no_nan(extreme: float) -> None:
    """Signs at random, in float32: whole classes underflow, at every position."""
    rng = np.random.default_rng(2)
    for case in POSSIBLE[:60]:
        texts = case.texts
        z_LV = torch.from_numpy(rng.choice([-extreme, 0.0, extreme], case.z_LV.shape)).float()
        z_LV[list(case.pins)] = case.z_LV[list(case.pins)].float()
        harsh = replace(case, z_LV=z_LV)
        posterior, p_LV = harsh.posterior()
        torch.testing.assert_close(p_LV.sum(dim=-1), torch.ones(len(p_LV)), rtol=0, atol=1e-5)
        u = torch.from_numpy(rng.random((2, len(p_LV))))
        drawn_L = posterior.draw(u[0], u[1])
        assert tuple(drawn_L[: case.room].tolist()) in texts
        assert tuple(posterior.best()[: case.room].tolist()) in texts


def test_forbidden_tokens_are_respected_until_nothing_is_left() -> None:
    """Logits of -inf on random tokens: what remains is exact, or the other rules are blamed."""
    rng = np.random.default_rng(3)
    refused = 0
    for case in POSSIBLE:
        banned = np.flatnonzero(rng.random(case.z_LV.shape[1]) < 0.3)
        open_L = [i not in case.pins for i in range(len(case.z_LV))]
        z_LV = case.z_LV.clone()
        z_LV[np.ix_(open_L, banned)] = -math.inf
        harsh = replace(case, z_LV=z_LV)
        left = [t for t in case.texts if joint([t], z_LV).isfinite().all()]
        if left:
            posterior, p_LV = harsh.posterior()
            bound = len(left[0])
            assert not p_LV[:bound].isnan().any()
            assert tuple(posterior.best()[:bound].tolist()) in left
            u = torch.from_numpy(rng.random((2, len(p_LV))))
            assert tuple(posterior.draw(u[0], u[1])[:bound].tolist()) in left
        else:
            refused += 1
            with pytest.raises(ConstraintError, match="other rules"):
                harsh.posterior()
    assert refused > 10


def test_of_equal_tokens_in_a_class_the_lowest_is_best() -> None:
    for case in POSSIBLE[:60]:
        flat = replace(case, z_LV=torch.zeros_like(case.z_LV), pins={})
        for id in flat.posterior()[0].best()[: case.room].tolist():
            kind = case.automaton.class_of_V[id]
            if id not in case.ends:
                mates = np.flatnonzero(case.automaton.class_of_V == kind).tolist()
                assert id == min(set(mates) - case.ends)
