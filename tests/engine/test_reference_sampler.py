"""Given the random draws of transformers' generate, the same canvases come out, step by step."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.replay import Recording, multinomial, record
from tests.parity.oracle import oracle_model, save_oracle
from torch import Tensor
from transformers.models.diffusion_gemma.generation_diffusion_gemma import (
    EntropyBoundSamplerConfig,
)

import canvaslm
from canvaslm import LM, Params
from canvaslm.engine.diffuse import Pass, diffuse
from canvaslm.engine.job import Job

# transformers marks its steps for a compiler, which brings in a module that warns.
pytestmark = pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")

VOCABULARY = 40
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "layer_types": ["sliding_attention", "full_attention"],
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "global_head_dim": 16,
    "num_global_key_value_heads": 1,
    "sliding_window": 9,
    "num_experts": 4,
    "top_k_experts": 2,
    "moe_intermediate_size": 8,
    "max_position_embeddings": 256,
}


@pytest.fixture(scope="module")
def oracle() -> Any:
    """Sharp enough that its canvases settle."""
    model = oracle_model(TEXT, canvas_length=12, seed=3)
    with torch.no_grad():
        model.model.decoder.embed_tokens.weight.mul_(3)
    return model


@pytest.fixture(scope="module")
def lm(oracle: Any, tmp_path_factory: pytest.TempPathFactory) -> LM:
    folder: Path = save_oracle(oracle, tmp_path_factory.mktemp("oracle"))
    return canvaslm.load(folder, device="cpu", dtype="float32")


def test_the_recorded_draw_is_torch_multinomial() -> None:
    p = torch.rand(50, 7)
    torch.manual_seed(5)
    theirs = torch.multinomial(p, num_samples=1)
    torch.manual_seed(5)
    assert torch.equal(multinomial(p, 1)[0], theirs)


CASES = {
    "every step": Params(max_tokens=36, max_steps=6, entropy_bound=0.1, t_min=0.4, t_max=0.8),
    "early stop": Params(max_tokens=36, max_steps=30, entropy_bound=1.0, confidence=2.5),
    "stability 0": Params(max_tokens=24, max_steps=12, stability=0, confidence=1.5),
    "stability 2": Params(max_tokens=24, max_steps=30, entropy_bound=40.0, stability=2),
}
DEFAULTS = {"stability": 1, "confidence": 2.5, "t_min": 0.1, "t_max": 0.3, "entropy_bound": 1.0}


def options(params: Params) -> dict[str, Any]:
    """The same request in the words of transformers."""
    bound = params.entropy_bound
    return {
        "pad_token_id": 0,
        "max_new_tokens": params.max_tokens,
        "max_denoising_steps": params.max_steps,
        "sampler_config": EntropyBoundSamplerConfig(entropy_bound=bound),
        "t_min": params.t_min,
        "t_max": params.t_max,
        "stability_threshold": params.stability,
        "confidence_threshold": params.confidence,
    }


def replay(
    lm: LM, prompts: Tensor, params: Params, eos: list[int], recording: Recording
) -> list[Job]:
    """Play the recording on our side, comparing every canvas with the recorded one."""
    jobs = [
        Job(
            prompt=tuple(ids),
            params=params,
            seed=0,
            eos_ids=frozenset(eos),
            sampler=lm.settings.sampler(params),
        )
        for ids in prompts.tolist()
    ]
    for event in diffuse(lm.model, lm.pool, jobs, draws=recording):
        if isinstance(event, Pass):
            theirs, rows = (
                recording.canvases[event.canvas].steps[event.state.step - 1],
                event.state.rows,
            )
            assert torch.equal(event.state.canvas, theirs.canvas[list(rows)])
            assert torch.equal(event.state.best, theirs.best[list(rows)])
    return jobs


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("eos", [[], [20, 21, 22]], ids=["no eos", "eos"])
@pytest.mark.parametrize("case", CASES)
def test_the_same_draws_give_the_same_canvases(
    oracle: Any, lm: LM, case: str, eos: list[int], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {n: v for n, v in vars(CASES[case]).items() if v is not None}
    params = Params(**(DEFAULTS | given))
    prompts = torch.randint(VOCABULARY, (batch, 14), generator=torch.Generator().manual_seed(2))
    recording = record(
        oracle, prompts, seed=1, patch=monkeypatch, eos_token_id=eos or None, **options(params)
    )
    jobs = replay(lm, prompts, params, eos, recording)
    for job, theirs in zip(jobs, recording.sequences[:, 14:].tolist(), strict=True):
        assert job.ids == theirs[: len(job.ids)]
        assert set(theirs[len(job.ids) :]) <= {oracle.config.text_config.pad_token_id}
        assert job.finish_reason == ("stop" if job.ids[-1] in eos else "length")
    assert lm.pool.in_use == 0


def test_the_cases_above_stop_early_and_at_eos(
    oracle: Any, lm: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they would prove less than they say."""
    params = Params(**(DEFAULTS | {"max_tokens": 36, "max_steps": 30}))
    prompts = torch.randint(VOCABULARY, (3, 14), generator=torch.Generator().manual_seed(2))
    recording = record(
        oracle, prompts, seed=1, patch=monkeypatch, eos_token_id=[20, 21, 22], **options(params)
    )
    jobs = replay(lm, prompts, params, [20, 21, 22], recording)
    assert len({job.steps for job in jobs}) > 1
    assert any(job.steps < 30 * job.canvases for job in jobs)
    assert {job.canvases for job in jobs} == {1, 2, 3}
