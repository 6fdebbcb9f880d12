"""What there is to plan: a recipe, with a name or not, or a network by preset, folder or hub id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from canvaslm.checkpoint.folder import Checkpoint, open_checkpoint
from canvaslm.engine.plan import stored_weights
from canvaslm.errors import TrainingError
from canvaslm.model.config import ModelConfig
from canvaslm.model.presets import PRESETS, pocket
from canvaslm.quant.scheme import Scheme, scheme_of
from canvaslm.tasks import LEARNT
from canvaslm.training.data.documents import Documents
from canvaslm.training.data.tasks import Mixture, Tasks
from canvaslm.training.distil.data import Fewer
from canvaslm.training.distil.recipe import fewer
from canvaslm.training.learnt import learnt
from canvaslm.training.optimise.choose import AdamW
from canvaslm.training.part import Everything, Part
from canvaslm.training.plan import Work
from canvaslm.training.recipe import Data, Recipe
from canvaslm.training.rehearse import Sizes
from canvaslm.training.rounded import Rounded, Type
from canvaslm.training.start import Base, Scratch
from canvaslm.training.sudoku import GridModel, sudoku
from canvaslm.training.sudoku_data import Puzzles
from canvaslm.training.sudoku_stages import Stage

PROMPT = 256  # tokens planned for where nothing is asked
Found = tuple[ModelConfig, Scheme | None, Mapping[str, int]]
"""A network, what it is rounded to, and the bytes of its parts if those are known."""


NAMED: Mapping[str, Callable[[], Recipe]] = {"sudoku": sudoku, "fewer": fewer}
"""Recipes that are no preset's."""


def named(recipe: str) -> Recipe | None:
    """The recipe of this name as it is without options; None: there is none."""
    if recipe in LEARNT:
        return learnt(recipe)
    return NAMED[recipe]() if recipe in NAMED else None


def of_network(
    model: str, *, quant: str | None = None, part: Part | None = None, dtype: Type | None = None
) -> Work:
    """A run with a preset or a checkpoint: one document after PROMPT tokens, AdamW. Nothing is read
    but headers. `part` None: everything learns."""
    config, scheme, stored = (
        (PRESETS[model], None, {}) if model in PRESETS else of_checkpoint(open_checkpoint(model))
    )
    if quant is not None:
        scheme, stored = scheme_of(quant), {}
    return Work(
        config=config,
        sizes=Sizes(documents=1, prompt=PROMPT, canvas=config.canvas_length),
        part=part or Everything(),
        optimise=AdamW(),
        scheme=scheme,
        dtype=dtype or ("float32" if scheme is None else "bfloat16"),
        stored=stored,
    )


def of_checkpoint(checkpoint: Checkpoint) -> Found:
    """Formats of a quantised folder are told from their sizes: what they widen to is the same."""
    if not checkpoint.quantised:
        return checkpoint.config, None, {}
    stored, experts = stored_weights(checkpoint), checkpoint.config.experts
    if experts is None:
        return checkpoint.config, scheme_of("int8"), stored
    one = 3 * checkpoint.config.hidden_size * experts.intermediate_size * experts.count
    few = stored["experts"] < 0.75 * one * len(checkpoint.config.layers)
    return checkpoint.config, scheme_of("int4" if few else "int8"), stored


def of_recipe(recipe: Recipe, *, dtype: Type | None = None) -> Work:
    """A recipe's run. Raises TrainingError for a start whose network is not known here."""
    start = recipe.start
    scheme: Scheme | None = None
    stored: Mapping[str, int] = {}
    if type(start) is Scratch:  # what is made of it has another network
        config = pocket(
            hidden_size=start.hidden_size, layers=start.num_layers, vocab_size=start.vocab_size
        )
    elif isinstance(start, GridModel):
        config = of_grids(start)
    elif isinstance(start, Base | Rounded):
        config, scheme, stored = of_checkpoint(start.checkpoint)
    else:
        raise TrainingError(
            f"a run that starts from {start!r} cannot be planned: start from a checkpoint, or plan "
            "a preset or a folder alone"
        )
    if isinstance(start, Rounded) and start.quant is not None:
        scheme, stored = scheme_of(start.quant), {}
    own = start.dtype if isinstance(start, Rounded) else "float32"
    return Work(
        config=config,
        sizes=sizes_of(recipe.data, config),
        part=recipe.part,
        optimise=recipe.optimise,
        scheme=scheme,
        dtype=dtype or own,
        average=recipe.ema is not None,
        bfloat16=recipe.bfloat16,
        stored=stored,
    )


def of_grids(start: GridModel) -> ModelConfig:
    """A Sudoku model's; its vocabulary is made, and forgotten."""
    with TemporaryDirectory() as folder:
        return start.config(start.tokenizer(Path(folder), seed=0))


def sizes_of(data: Data, config: ModelConfig) -> Sizes:
    """Of the largest micro-batch; of data that do not say it, one document and canvas."""
    if isinstance(data, Documents):
        length = data.canvas_length or config.canvas_length
        return Sizes(documents=data.documents, prompt=PROMPT, canvas=length, noises=data.noises)
    if isinstance(data, Tasks | Fewer) and data.mixtures:
        return largest(size for mixture in data.mixtures for size in sizes_of_mixture(mixture))
    if isinstance(data, Puzzles):
        return largest(size for stage in data.stages for size in sizes_of_stage(stage, config))
    return Sizes(documents=1, prompt=PROMPT, canvas=config.canvas_length)


def largest(sizes: Iterable[Sizes]) -> Sizes:
    return max(sizes, key=lambda one: one.encoded + one.denoised)


def sizes_of_mixture(mixture: Mixture) -> list[Sizes]:
    """Its ordinary and its wide micro-batches."""
    drawn = {False: mixture.wide_share < 1, True: mixture.wide_share > 0}
    shapes = [mixture.shape(wide=wide) for wide, ever in drawn.items() if ever]
    return [
        Sizes(documents=count, prompt=PROMPT, canvas=length, noises=mixture.canvases)
        for count, length in shapes
    ]


def sizes_of_stage(stage: Stage, config: ModelConfig) -> list[Sizes]:
    """Its puzzles in the prompt, and those on the canvas, which all have one prompt."""
    length = config.canvas_length
    asked = Sizes(documents=stage.documents, prompt=PROMPT, canvas=length, noises=stage.canvases)
    alone = Sizes(documents=1, prompt=PROMPT, canvas=length, noises=max(1, stage.alone))
    return [asked, alone]
