"""The estimate of the bound: unbiased, with an honest error, over whole canvases."""

import math
from statistics import mean, stdev

import pytest
import torch
from tests.engine.scoring.test_bound import nelbo
from torch import Tensor

from canvaslm import LM
from canvaslm.cache.pages import Pool, Prefix
from canvaslm.engine.scoring import causal
from canvaslm.engine.scoring.elbo import END, close, fill, sample, variance
from canvaslm.errors import ContextLengthError, MissingTokenizerError, ParameterError
from canvaslm.model.config import LayerConfig, ModelConfig, RopeConfig

PROMPT = [5, 9, 20]


class Table:
    """A network of three tokens and two positions that looks its logits up."""

    def __init__(self) -> None:
        layer = LayerConfig(
            heads=1, kv_heads=1, head_dim=2, window=None, rope=RopeConfig(theta=1e4)
        )
        self.config = ModelConfig(
            vocab_size=3,
            hidden_size=3,
            intermediate_size=1,
            layers=(layer,),
            canvas_length=2,
            max_positions=8,
        )
        self.embedding = torch.eye(3)
        self.logits = torch.randn(3, 3, 2, 3, generator=torch.Generator().manual_seed(1))

    def denoise(
        self, ids_BL: Tensor, soft_BLD: Tensor | None, positions_BL: Tensor, attend: object
    ) -> Tensor:
        return self.logits[ids_BL[:, 0], ids_BL[:, 1]]

    def unembed(self, h_BND: Tensor) -> Tensor:
        return h_BND.clone()

    def blend(self, p_BLV: Tensor) -> Tensor:
        return p_BLV


def test_it_estimates_the_integral_with_an_honest_error() -> None:
    table, clean = Table(), (1, 2)

    def believe(noisy: tuple[int, ...], t: float) -> Tensor:
        return table.logits[noisy].double().softmax(dim=-1)

    prefix = Prefix(Pool(table.config))
    runs = [
        sample(table, prefix, torch.tensor(clean), samples=16, seed=s, canvas=0) for s in range(150)
    ]
    means = [mean(run) for run in runs]
    error = stdev(means) / len(means) ** 0.5
    assert abs(mean(means) - nelbo(clean, believe, end=END)) < 4 * error
    told = mean(variance(run) or 0.0 for run in runs) ** 0.5
    assert told == pytest.approx(stdev(means), rel=0.35)


def test_the_same_seed_gives_the_same_bound(lm: LM) -> None:
    first, again = (lm.elbo(PROMPT, [7, 8], samples=3, seed=4) for _ in range(2))
    assert first == again
    assert first.mean != lm.elbo(PROMPT, [7, 8], samples=3, seed=5).mean
    assert first.mean < 0
    assert (first.tokens, first.canvases, first.samples) == (3, 1, 3)
    assert first.nats_per_token == -first.mean / 3
    assert first.bits_per_token == pytest.approx(-first.mean / 3 / math.log(2))
    assert lm.pool.in_use == 0


def test_pieces_change_nothing(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lm.elbo(PROMPT, [7, 8], samples=2)
    monkeypatch.setattr(causal.pieces, "__kwdefaults__", {"limit": 700})
    monkeypatch.setattr("canvaslm.engine.scoring.elbo.LOGITS", 8 * 700)
    assert lm.elbo(PROMPT, [7, 8], samples=2).mean == pytest.approx(whole.mean, rel=1e-4)


def test_one_sample_has_no_error(lm: LM) -> None:
    assert lm.elbo(PROMPT, [7], samples=1).standard_error is None


def test_canvases_add_up(lm: LM) -> None:
    """The first of two canvases is judged as if it were alone; the second after it."""
    answer = list(range(30, 50))
    both = lm.elbo(PROMPT, answer, samples=2)
    assert (both.canvases, both.tokens) == (2, 21)
    with torch.inference_mode():
        losses = []
        for canvas, row in enumerate(fill((*answer, 1), lm.config)):
            with lm.prefill([*PROMPT, *answer[: 16 * canvas]]) as prefix:
                clean = torch.tensor(row)
                losses.append(sample(lm.network, prefix, clean, samples=2, seed=0, canvas=canvas))
    assert both.mean == pytest.approx(-sum(map(mean, losses)), rel=1e-4)
    error = sum(variance(each) or 0.0 for each in losses) ** 0.5
    assert both.standard_error == pytest.approx(error, rel=1e-3)


def test_an_answer_is_closed_as_in_training(talker: LM) -> None:
    turn = talker.tokenizer.token_id("<turn|>")
    assert turn == 6
    eos, config = talker.settings.eos_ids, talker.config
    assert close((9, 8), talker.tokenizer, eos, config) == (9, 8, 6)
    assert close((9, 6), talker.tokenizer, eos, config) == (9, 6)
    assert close((9, 8), talker.tokenizer, frozenset({1}), config) == (9, 8, 1)
    assert close((9, 8), None, eos, config) == (9, 8, 1)
    assert fill((9, 8, 6), config) == [[9, 8, 6, *[1] * 13]]
    assert [len(row) for row in fill((9,) * 17, config)] == [16, 16]
    assert [len(row) for row in fill((9,) * 16, config)] == [16]
    assert talker.elbo("a", "a circle", samples=1) == talker.elbo(
        "a", talker.tokenizer.encode("a circle"), samples=1
    )


@pytest.mark.parametrize(
    ("answer", "options", "reason"),
    [
        ([], {}, "answer is empty"),
        ([7], {"samples": 0}, "samples must be at least 1"),
        ([7], {"samples": 1.5}, "samples must be an integer"),
        ([7], {"seed": -1}, "seed"),
        ([300], {}, "300"),
    ],
)
def test_what_cannot_be_bounded_is_refused(
    lm: LM, answer: list[int], options: dict[str, object], reason: str
) -> None:
    with pytest.raises(ParameterError, match=reason):
        lm.elbo(PROMPT, answer, **options)


def test_text_and_length_have_their_limits(lm: LM) -> None:
    with pytest.raises(MissingTokenizerError):
        lm.elbo(PROMPT, "a")
    with pytest.raises(ContextLengthError, match="fills 12 canvases of 16, together 195"):
        lm.elbo(PROMPT, [7] * 190)
