"""The same seed gives the same weights, whoever asks and in whatever order."""

import torch
from tests.model.conftest import SMALL

from canvaslm.model.initialise import PIECE, draw, initial_tensor, initialise
from canvaslm.model.transformer import Transformer


def weights(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    model = Transformer(SMALL).to(dtype)
    initialise(model, seed=seed)
    return dict(model.state_dict())


def test_a_seed_is_a_model() -> None:
    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embedding"], other["embedding"])


def test_other_types_hold_the_same_values_rounded() -> None:
    exact, rounded = weights(1), weights(1, torch.bfloat16)
    assert all(torch.equal(exact[name].bfloat16(), rounded[name]) for name in exact)


def test_values_are_those_of_the_released_code() -> None:
    state = weights(1)
    assert all(torch.all(t == 1) for t in state.values() if t.dim() == 1)
    assert torch.all(state["embedding"][SMALL.pad_id] == 0)
    drawn = draw("any", (300, 300), seed=0, dtype=torch.float32)
    assert abs(float(drawn.mean())) < 3e-4
    assert abs(float(drawn.std()) - 0.02) < 2e-4


def test_tensors_longer_than_a_piece_do_not_repeat() -> None:
    drawn = draw("long", (2, PIECE), seed=0, dtype=torch.float32)
    assert not torch.equal(drawn[0], drawn[1])


def test_one_tensor_can_be_made_alone() -> None:
    name = "layers.0.experts.gate_up"
    state = weights(7)
    alone = initial_tensor(name, state[name].shape, seed=7, dtype=torch.float32, pad_id=0)
    assert torch.equal(alone, state[name])
