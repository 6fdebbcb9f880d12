"""An LM with an adapter beside the one without: same weights, its own answers and pages."""

from pathlib import Path

import pytest
import torch
from tests.adapter.conftest import trained
from tests.engine.conftest import TINY

import canvaslm
from canvaslm import LM, Params
from canvaslm.adapter.files import save_adapter
from canvaslm.adapter.merge import merge_folder
from canvaslm.cache.known import Known
from canvaslm.checkpoint import open_checkpoint
from canvaslm.engine.create import new_checkpoint
from canvaslm.engine.serving.engine import Engine
from canvaslm.errors import ParameterError, TensorError
from canvaslm.model.transformer import Transformer

PROMPT = [5, 9, 20, 31, 40, 77, 120]
PARAMS = Params(max_tokens=20, seed=7, max_steps=4)
ADAPTER = trained(TINY, size=0.5)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_checkpoint(TINY, tmp_path_factory.mktemp("base") / "tiny", dtype=torch.float32)


@pytest.fixture
def lm(base: Path) -> LM:
    return canvaslm.load(base, device="cpu", dtype="float32")


def causal(lm: LM) -> torch.Tensor:
    return lm.causal_logits(PROMPT)


def test_merged_and_unmerged_say_the_same(lm: LM, base: Path, tmp_path: Path) -> None:
    before, adapted = causal(lm), lm.adapted(ADAPTER)
    merge_folder(open_checkpoint(base), ADAPTER, tmp_path / "merged")
    merged = canvaslm.load(tmp_path / "merged", device="cpu", dtype="float32")
    assert (causal(adapted) - causal(merged)).norm() <= 1e-4 * before.norm()
    assert (causal(adapted) - before).norm() > 0.01 * before.norm()
    for one in (adapted, merged):
        with one.prefill(PROMPT) as prefix:
            logits = [one.denoise_logits(prefix, [1, 2, 3]) for one in (adapted, merged)]
        assert (logits[0] - logits[1]).norm() <= 1e-4 * logits[0].norm()


def test_the_base_goes_on_as_it_was(lm: LM) -> None:
    plain = lm.generate(PROMPT, params=PARAMS).token_ids
    adapted = lm.adapted(ADAPTER)
    bent = adapted.generate(PROMPT, params=PARAMS).token_ids
    other = lm.adapted(trained(TINY, seed=9, size=0.5)).generate(PROMPT, params=PARAMS).token_ids
    assert bent != plain != other != bent
    assert lm.generate(PROMPT, params=PARAMS).token_ids == plain
    assert adapted.generate(PROMPT, params=PARAMS).token_ids == bent
    assert lm.pool.in_use == adapted.pool.in_use == 0


def test_what_one_knows_of_prompts_the_other_does_not(lm: LM) -> None:
    """K and V are the adapter's own: nothing of the base's prompts is found by it."""
    adapted, prompt = lm.adapted(ADAPTER), [5, 9, 20, 31, 40, 77, 8, 60, 61, 1, 8]
    alone = adapted.generate(prompt, params=PARAMS).token_ids
    lm.pool.known = known = Known(lm.pool)
    assert adapted.pool is lm.pool
    lm.generate(prompt, params=PARAMS)
    assert adapted.generate(prompt, params=PARAMS).token_ids == alone
    assert known.stats.found == 0
    assert adapted.generate(prompt, params=PARAMS).token_ids == alone
    assert known.stats.found == 10


def test_company_changes_nothing_whatever_adapters_it_has(lm: LM) -> None:
    """Requests of the base and of two adapters, many at a time, over the same pages."""
    adapters = {"one": ADAPTER, "two": trained(TINY, seed=9, size=0.5)}
    models = {"": lm} | {name: lm.adapted(adapter) for name, adapter in adapters.items()}
    asked = [(name, PROMPT[:n]) for n in (3, 5, 7, 7) for name in models]
    alone = [models[name].generate(ids, params=PARAMS).token_ids for name, ids in asked]
    with Engine(lm, adapters=adapters) as engine:
        tickets = [
            engine.submit(lambda lm, ids=ids: [lm.generate(ids, params=PARAMS)], adapter=name)
            for name, ids in asked
        ]
        answers = [next(iter(ticket)) for ticket in tickets]
        assert engine.stats.passes < engine.stats.rows
        with pytest.raises(ParameterError, match="there are one, two"):
            engine.submit(lambda lm: [], adapter="three")
    assert [answer.token_ids for answer in answers] == alone


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_load_takes_a_folder(base: Path, tmp_path: Path, dtype: str) -> None:
    folder = save_adapter(ADAPTER, tmp_path / "adapter")
    lm = canvaslm.load(base, device="cpu", dtype=dtype, adapter=folder)
    plain = canvaslm.load(base, device="cpu", dtype=dtype).adapted(ADAPTER)
    assert torch.equal(causal(lm), causal(plain))
    assert isinstance(lm.network, Transformer) == (dtype == "float64")


def test_rounded_weights_take_one(tmp_path: Path) -> None:
    base = new_checkpoint(TINY, tmp_path / "tiny", dtype=torch.float32)
    lm = canvaslm.load(base, quant="int8", cache="int8", adapter=ADAPTER)
    exact = canvaslm.load(base, device="cpu", dtype="float32", adapter=ADAPTER)
    assert lm.pool.quantised
    assert (causal(lm) - causal(exact)).norm() <= 0.1 * causal(exact).norm()


def test_what_does_not_fit_is_refused(lm: LM, base: Path, tmp_path: Path) -> None:
    other = trained(type(TINY)(**{**vars(TINY), "hidden_size": 32}))
    with pytest.raises(TensorError, match="another base"):
        lm.adapted(other)
    with pytest.raises(ParameterError, match="already"):
        lm.adapted(ADAPTER).adapted(ADAPTER)
    with pytest.raises(TensorError, match="another base"):
        canvaslm.load(base, adapter=save_adapter(other, tmp_path / "other"))
    elsewhere = tmp_path / "elsewhere"
    new_checkpoint(TINY, elsewhere, dtype=torch.float32)
    with pytest.warns(UserWarning, match="trained on 'owner/tiny'"):
        canvaslm.load(elsewhere, adapter=ADAPTER)
