"""An adapter served unmerged by the native network: the numbers of a merged one, row by row."""

from typing import Any, NamedTuple

import pytest
import torch
from tests.adapter.conftest import merged_into, only, targets_of, trained
from tests.adapter.passes import answers, far
from tests.model.test_native import WHO, AttendAll, rounded
from torch import Tensor

from canvaslm.adapter.adapter import new_adapter
from canvaslm.adapter.config import AdapterConfig
from canvaslm.adapter.serve import adapted
from canvaslm.errors import ParameterError
from canvaslm.kernels.choose import operations
from canvaslm.kernels.cpu.library import runnable
from canvaslm.kernels.rows import Kind
from canvaslm.model import weights as arranged
from canvaslm.model.native import Native
from canvaslm.model.transformer import Transformer


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("who", WHO)
@torch.no_grad()
def test_it_is_the_merged_network(
    who: str, model: Transformer, joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not joined:
        monkeypatch.setattr(arranged, "JOINED", 0)
    adapter = trained(model.config)
    base = Native.of(model, operations(who))
    before = answers(base)
    ours = answers(adapted(base, adapter))
    assert far(ours, answers(merged_into(model, adapter))) <= 1e-4
    assert far(ours, before) > 0.05
    assert all(map(torch.equal, answers(base), before))


@pytest.mark.parametrize("targets", [("attention.k",), ("mlp.up",), ("router.proj", "mlp.down")])
@torch.no_grad()
def test_any_part_of_what_is_joined_may_be_bent(targets: tuple[str, ...]) -> None:
    _, _, plain = rounded("int8")
    adapter = only(trained(plain.config), *targets)
    ours = answers(adapted(Native.of(plain, operations()), adapter))
    assert far(ours, answers(merged_into(plain, adapter))) <= 1e-4


@pytest.mark.parametrize("who", WHO)
@torch.no_grad()
def test_an_adapter_of_zeros_changes_nothing_to_the_bit(who: str, model: Transformer) -> None:
    config = AdapterConfig(rank=5, targets=targets_of(model.config))
    base = Native.of(model, operations(who))
    zero = adapted(base, new_adapter(config, model.config, seed=0))
    assert all(map(torch.equal, answers(zero), answers(base)))


@pytest.mark.parametrize("who", runnable())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_a_row_has_the_same_bits_in_any_company(
    who: str, model: Transformer, dtype: torch.dtype
) -> None:
    network = adapted(Native.of(model.to(dtype), operations(who)), trained(model.config))
    assert network.rows_stand_alone
    ids, soft = torch.randint(32, (5, 6)), torch.randn(5, 6, model.config.hidden_size)
    place = torch.arange(6).expand(5, -1)

    def hidden(rows: slice) -> Tensor:
        return network.denoise(ids[rows], soft[rows], place[rows], AttendAll(operations(who)))

    whole = hidden(slice(None))
    for rows in (slice(0, 1), slice(2, 3), slice(1, 5)):
        assert torch.equal(hidden(rows), whole[rows])


class Told(NamedTuple):
    """An adapter on rounded weights, and the same on what they stand for."""

    network: Native
    truth: Transformer


def on_rounded(who: str, format: Any, activations: Kind | None) -> Told:
    config, weights, plain = rounded(format)
    base = Native(config, weights, operations(who), activations=activations)
    adapter = trained(config, rank=8)
    network = adapted(base, adapter)
    assert isinstance(network, Native)
    return Told(network, merged_into(plain, adapter))


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("format", ["int8", "int4", "mxfp4"])
@pytest.mark.parametrize("activations", [None, "bfloat16"])
@torch.no_grad()
def test_rounded_weights_wear_it_as_exactly_as_they_are(
    who: str, format: Any, activations: Kind | None
) -> None:
    network, truth = on_rounded(who, format, activations)
    generator = torch.Generator().manual_seed(0)
    ids, place = torch.randint(30, (1, 20), generator=generator), torch.arange(20)[None]
    soft, attend = torch.randn(1, 20, 64, generator=generator), AttendAll(operations("reference"))
    ours = network.denoise(ids, soft, place, attend)
    theirs = truth.denoise(ids, soft, place, attend)
    assert (ours - theirs).norm() <= (0.02 if activations else 0.1) * theirs.norm()


@torch.no_grad()
def test_several_adapters_share_the_weights(model: Transformer) -> None:
    base = Native.of(model, operations())
    one, two = (adapted(base, trained(model.config, seed=seed)) for seed in (1, 2))
    assert isinstance(one, Native)
    assert one.weights.embedding is base.weights.embedding
    assert one.weights.layers[0].o is base.weights.layers[0].o
    first = answers(one)
    assert far(answers(two), first) > 0.05
    assert all(map(torch.equal, answers(one), first))


def test_an_adapter_goes_on_a_base_only(model: Transformer) -> None:
    adapter = trained(model.config)
    network = adapted(Native.of(model, operations()), adapter)
    with pytest.raises(ParameterError, match="take the plain model"):
        adapted(network, adapter)
    with pytest.raises(ParameterError, match="take it off first"):
        adapted(adapted(model, adapter), adapter)
