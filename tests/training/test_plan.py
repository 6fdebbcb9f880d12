"""The memory plan of a run, beside what a run on a CPU really allocates."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.allocated import most_allocated

from canvaslm.engine.create import new_checkpoint
from canvaslm.errors import ParameterError, TrainingError
from canvaslm.model.presets import PRESETS, parameter_count, pocket
from canvaslm.model.transformer import Transformer
from canvaslm.quant.scheme import scheme_of
from canvaslm.training.data.batch import Batch, Feed, Micro
from canvaslm.training.data.tasks import Mixture, Tasks
from canvaslm.training.distil.data import Fewer
from canvaslm.training.distil.recipe import fewer
from canvaslm.training.optimise.choose import Adafactor, AdamW, MuonAdamW, Optimise
from canvaslm.training.optimise.schedule import Constant
from canvaslm.training.part import Everything, LowRank
from canvaslm.training.plan import (
    Plan,
    Work,
    build,
    optimiser_bytes,
    plan,
    step_of,
    weight_bytes,
)
from canvaslm.training.planned import named, of_network, of_recipe
from canvaslm.training.recipe import Recipe
from canvaslm.training.rehearse import Sizes, rehearse
from canvaslm.training.rounded import Rounded, Type
from canvaslm.training.start import Base, Scratch, Start
from canvaslm.training.sudoku import sudoku
from canvaslm.training.sudoku_stages import STAGES
from canvaslm.training.trainer import Trainer

CONFIG = replace(pocket(hidden_size=128, layers=3, vocab_size=1024), canvas_length=64)
SIZES = Sizes(documents=2, prompt=32, canvas=64)


class Another(Scratch):
    """A start whose network is its own affair."""


class Fixed:
    """Two micro-batches of full canvases, in every step the same."""

    fingerprint, own = "fixed", False

    def open(self, *given: object, **more: object) -> Feed:
        return self

    def micros(self, step: int) -> list[Micro]:
        shape = (SIZES.documents, SIZES.prompt + SIZES.canvas)
        documents = torch.randint(1024, shape, generator=torch.Generator().manual_seed(0))
        clean = documents[:, SIZES.prompt :].contiguous()
        batch = Batch(
            documents_BN=documents,
            causal_BN=torch.ones(shape, dtype=torch.bool),
            prefix_B=torch.full((SIZES.documents,), SIZES.prompt),
            clean_RL=clean,
            noised_RL=clean.flip(1),
            sighted_R=torch.ones(SIZES.documents, dtype=torch.bool),
        )
        return [Micro(name="fixed", batch=batch)] * 2

    def held_out(self, count: int) -> list[Micro]:
        return []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_checkpoint(CONFIG, tmp_path_factory.mktemp("base") / "base")


def recipe(start: Start, **changes: object) -> Recipe:
    settings: dict[str, object] = {
        "name": "planned",
        "steps": 9,
        "data": Fixed(),
        "start": start,
        "optimise": AdamW(),
        "schedule": Constant(warmup=0),
        "ema": None,
    }
    return Recipe(**(settings | changes))  # type: ignore[arg-type]


def planned(chosen: Recipe) -> Plan:
    work = replace(of_recipe(chosen), sizes=SIZES)
    return plan(work, recompute=chosen.recompute)


def trainer(chosen: Recipe) -> Trainer:
    return Trainer(chosen, None, device=torch.device("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("quant", "dtype", "bfloat16", "recompute"),
    [
        (None, "float32", False, False),
        (None, "float32", True, True),
        ("int4", "bfloat16", True, False),
        ("int4", "bfloat16", True, True),
        ("int8", "float32", False, True),
    ],
)
def test_a_step_takes_as_much_as_planned(
    folder: Path, quant: str | None, dtype: Type, bfloat16: bool, recompute: bool
) -> None:
    """Within 10 %, and hardly ever more; gradients are counted with both."""
    start: Start = Base(str(folder))
    changes: dict[str, object] = {"bfloat16": bfloat16, "recompute": recompute}
    if quant is not None:
        start = Rounded(str(folder), quant=quant, dtype=dtype)
        changes["part"] = LowRank(rank=4)
    chosen = recipe(start, **changes)
    made, run = planned(chosen), trainer(chosen)
    run.advance()  # the optimiser's numbers come into being in the first step
    measured = most_allocated(run.advance)
    assert 0.97 <= (made.gradients + made.step.most) / measured <= 1.1


@pytest.mark.parametrize("quant", [None, "int8", "int4", "mxfp4"])
def test_weights_and_adapter_are_counted_to_the_byte(folder: Path, quant: str | None) -> None:
    chosen = recipe(Base(str(folder)))
    if quant is not None:
        start = Rounded(str(folder), quant=quant, dtype="bfloat16")
        chosen = recipe(start, part=LowRank(rank=4, targets=("attention.q", "mlp.up")))
    made, model = planned(chosen), trainer(chosen).model
    assert sum(made.weights.values()) + made.adapter == bytes_of(model)


def bytes_of(model: Transformer) -> int:
    """Of parameters, buffers and weights of few bits."""
    from canvaslm.adapter.rounded import RoundedExperts, RoundedLinear

    found = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    for module in model.modules():
        if isinstance(module, RoundedLinear):
            found += module.weight.bytes
        elif isinstance(module, RoundedExperts):
            found += sum(weight.bytes for part in module.parts for weight in part)
    return found


@pytest.mark.parametrize("optimise", [AdamW(), MuonAdamW(), Adafactor()])
def test_optimisers_keep_what_is_planned(optimise: Optimise) -> None:
    model = Transformer(CONFIG)
    parameters = dict(model.named_parameters())
    for parameter in parameters.values():
        torch.nn.init.normal_(parameter)
        parameter.grad = torch.ones_like(parameter)
    kept = 0
    for optimiser in optimise.build(parameters):
        optimiser.step()
        for state in optimiser.state.values():
            kept += sum(t.nbytes for key, t in state.items() if key != "step")
    shapes = {name: tuple(p.shape) for name, p in parameters.items()}
    assert optimiser_bytes(optimise, shapes) == kept


def test_a_folder_of_few_bits_is_planned_from_its_headers(tmp_path: Path) -> None:
    made = new_checkpoint(CONFIG, tmp_path / "few", quant="int4")
    work = of_network(str(made), part=LowRank())
    assert (work.config.layers, work.scheme) == (CONFIG.layers, scheme_of("int4"))
    assert weight_bytes(work) == pytest.approx(weight_bytes(replace(work, stored={})), rel=0.02)


def test_an_adapter_on_the_26b_fits_a_card_of_24_gb() -> None:
    """On paper: int4, rank 16, prompt and canvas of 256, activations computed again."""
    work = Work(
        config=PRESETS["26b-a4b"],
        sizes=Sizes(documents=1, prompt=256, canvas=256),
        part=LowRank(rank=16),
        optimise=AdamW(),
        scheme=scheme_of("int4"),
        dtype="bfloat16",
        bfloat16=True,
    )
    made = plan(work, recompute=True)
    assert 15e9 < made.total < 24e9
    assert made.numbers == 18_585_600


@pytest.mark.parametrize("again", [False, True])
def test_a_deep_network_is_planned_from_shallow_ones(again: bool) -> None:
    """As if every layer had been gone through; it is what the layers in between hold that is
    rounded up, and most of the time the most is elsewhere."""
    config = replace(pocket(hidden_size=64, layers=12, vocab_size=256), canvas_length=16)
    sizes = Sizes(documents=2, prompt=24, canvas=16)
    work = Work(config=config, sizes=sizes, part=Everything(), optimise=AdamW())
    whole = rehearse(lambda: build(work), sizes, bfloat16=False, again=again)
    made = step_of(work, recompute=again)
    assert (made.encoder, made.denoiser, made.heads) == (
        whole.encoder,
        whole.denoiser,
        whole.heads,
    )
    assert 1 <= made.most / whole.most < 1.02
    assert len(made.ends) == len(made.between) + 1 == 6


def test_what_cannot_be_is_refused() -> None:
    work = Work(config=CONFIG, sizes=SIZES, part=Everything(), optimise=AdamW())
    with pytest.raises(ParameterError, match="cannot learn"):
        replace(work, scheme=scheme_of("int8"))
    with pytest.raises(ParameterError, match="float32"):
        replace(work, dtype="bfloat16")


def test_the_largest_micro_batch_of_a_mixture_is_planned(folder: Path) -> None:
    few = Mixture(tasks={"ask": 1.0}, documents=2, canvas_length=8)
    wide = Mixture(tasks={"ask": 1.0}, documents=3, canvas_length=100, canvases=4, wide_share=0.1)
    found = of_recipe(recipe(Base(str(folder)), data=Tasks(mixtures=(few, wide)))).sizes
    assert found == Sizes(documents=3, prompt=256, canvas=100, noises=4)
    always = replace(wide, canvas_length=256, wide_length=100, wide_share=1.0)
    found = of_recipe(recipe(Base(str(folder)), data=Tasks(mixtures=(few, always)))).sizes
    assert (found.canvas, found.documents) == (100, 7)  # never 256


def test_a_network_that_is_not_known_is_refused() -> None:
    with pytest.raises(TrainingError, match="cannot be planned"):
        of_recipe(recipe(Another()))


def test_the_sudoku_recipe_is_planned_by_its_largest_stage() -> None:
    """More documents with canvases on them in the end, more canvases of one in the beginning."""
    chosen = sudoku()
    work = of_recipe(chosen)
    assert parameter_count(work.config) < 7_000_000
    assert (work.config.canvas_length, work.average, work.bfloat16) == (82, True, True)
    assert work.sizes == Sizes(documents=32, prompt=256, canvas=82, noises=4)
    first = replace(chosen.data, stages=STAGES[:1])  # type: ignore[type-var]
    found = of_recipe(replace(chosen, data=first)).sizes
    assert found == Sizes(documents=1, prompt=256, canvas=82, noises=112)


def test_fewer_steps_are_planned_by_the_largest_of_all_mixtures() -> None:
    chosen = fewer()
    assert isinstance(chosen.data, Fewer)
    alone = [
        of_recipe(replace(chosen, data=Tasks(mixtures=mixtures))).sizes
        for mixtures in (chosen.data.anchor, chosen.data.walked)
    ]
    found = of_recipe(chosen).sizes
    assert found in alone
    assert found.encoded + found.denoised == max(s.encoded + s.denoised for s in alone)


def test_recipes_have_names() -> None:
    assert named("sudoku") == sudoku()
    assert isinstance(getattr(named("star"), "part", None), LowRank)
    assert named("pocket") is None
