"""The embedded model: transformers reads the same folder to the same logits and canvases."""

import random
from typing import Any

import pytest
import torch
from tests.engine.replay import record
from tests.engine.test_reference_sampler import options, replay
from tests.parity.oracle import Request, ask_oracle
from tests.parity.ours import ask_ours
from tests.parity.test_checkpoints import opened_by_transformers
from tests.parity.test_network import assert_equal

import canvaslm
from canvaslm import LM, Params
from canvaslm.engine.loading import POCKET
from canvaslm.tasks import get

pytestmark = pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")


@pytest.fixture(scope="module")
def oracle() -> Any:
    return opened_by_transformers(POCKET)


@pytest.fixture(scope="module")
def lm() -> LM:
    return canvaslm.load(device="cpu", dtype="float32")


def prompts(lm: LM) -> list[list[int]]:
    rng = random.Random(0)
    examples = [get(name).sample(rng, split="test") for name in ("scenes", "ask", "json")]
    return [lm.tokenizer.render([{"role": "user", "content": e.prompt}]) for e in examples]


def test_logits_and_kv_are_equal(oracle: Any, lm: LM) -> None:
    asked = prompts(lm)
    generator = torch.Generator().manual_seed(0)
    canvas = torch.randint(lm.config.vocab_size, (3, 64), generator=generator)
    signal = 4 * torch.randn(3, 64, lm.config.vocab_size, generator=generator)
    for previous in (None, signal):
        request = Request(asked, 5, canvas, previous)
        assert_equal(ask_ours(lm.model, request), ask_oracle(oracle, request), largest=1e-4)


def test_the_engine_gives_the_same_logits(oracle: Any, lm: LM) -> None:
    """The engine runs a faster form of the network, and pages for the prefix."""
    ids, generator = prompts(lm)[0], torch.Generator().manual_seed(1)
    canvas = torch.randint(lm.config.vocab_size, (1, 64), generator=generator)
    signal = 4 * torch.randn(1, 64, lm.config.vocab_size, generator=generator)
    theirs = ask_oracle(oracle, Request([ids], 0, canvas, signal)).canvas
    with lm.prefill(ids) as prefix:
        ours = lm.denoise_logits(prefix, canvas, signal)
    assert (ours - theirs).norm() / theirs.norm() < 1e-4


def test_the_same_draws_give_the_same_canvases(
    oracle: Any, lm: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = lm.settings
    params = Params(
        max_tokens=256,
        max_steps=settings.max_steps,
        entropy_bound=settings.entropy_bound,
        t_min=settings.t_min,
        t_max=settings.t_max,
        stability=settings.stability,
        confidence=settings.confidence,
    )
    ids, eos = torch.tensor([prompts(lm)[0]]), sorted(settings.eos_ids)
    recording = record(oracle, ids, seed=3, patch=monkeypatch, eos_token_id=eos, **options(params))
    (job,) = replay(lm, ids, params, eos, recording)
    said = recording.sequences[0, ids.shape[1] :].tolist()
    assert job.ids == said[: len(job.ids)]
    assert job.finish_reason == "stop"
