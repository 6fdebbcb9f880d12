"""Weights for a native network: as a folder keeps them, or rounded on the way in."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from canvaslm.checkpoint.folder import Checkpoint
from canvaslm.checkpoint.names import released_name
from canvaslm.checkpoint.quantised_layouts import Loose
from canvaslm.checkpoint.save import Progress
from canvaslm.engine.quantised.matrices import (
    FolderSource,
    Matrix,
    ModelSource,
    Source,
    kept_names,
    matrices,
)
from canvaslm.engine.quantised.rounder import (
    Importance,
    Rounded,
    Rounder,
    round_one,
    rounded_format,
)
from canvaslm.engine.quantised.write import check_source
from canvaslm.kernels.weight import Weight
from canvaslm.model.transformer import Transformer
from canvaslm.model.weights import State
from canvaslm.quant.rounding import Loss, check_finite, round_matrix
from canvaslm.quant.scheme import RoundedFormat, Scheme

AS_IT_IS = Scheme(experts="keep", dense="keep", embedding="keep")
AGAIN: Mapping[int, tuple[RoundedFormat, int | None]] = {4: ("int4", 32), 8: ("int8", None)}
"""What numbers in a layout that no kernel reads are rounded to, by the bits they came in."""
NONE: Importance = {}


def read_state(checkpoint: Checkpoint, *, progress: Progress | None = None) -> State:
    """A folder's own weights: views of its files, which have to stay where they are.

    Layouts that no kernel reads are rounded again, FP8 to int8 and NVFP4 to int4 in groups of 32.
    Raises TensorError for what is missing, surplus, misshapen, or in a layout that is not known.
    """
    source = FolderSource(checkpoint)
    state = gathered(source, AS_IT_IS, NONE, progress)
    source.tensors.finish()
    return state


def quantise_model(
    source: Transformer | Checkpoint,
    scheme: Scheme,
    *,
    importance: Importance = NONE,
    progress: Progress | None = None,
) -> State:
    """The weights of a network in floating point, rounded; what is kept stays where it is.

    `progress` is called with the matrices rounded so far and in all. Raises ParameterError where a
    group does not divide a matrix or the folder is quantised already, TensorError for a NaN.
    """
    if isinstance(source, Transformer):
        return gathered(ModelSource(model=source), scheme, importance, progress)
    check_source(source, scheme)
    folder = FolderSource(source)
    state = gathered(folder, scheme, importance, progress)
    folder.tensors.finish()
    return state


def gathered(
    source: Source,
    scheme: Scheme,
    importance: Importance,
    progress: Progress | None,
) -> State:
    todo = list(matrices(source.config))
    for matrix in todo:  # what cannot be done is said before hours of work, not after
        if (format := rounded_format(scheme, matrix)) is not None:
            scheme.group_of(format, matrix.shape[1], matrix.module)
    state: dict[str, torch.Tensor | Weight | list[Weight]] = {}
    work = Work(source, scheme, importance)
    with Rounder(todo, work, threads=torch.get_num_threads()) as rounder:
        for done, matrix in enumerate(todo, start=1):
            weight, _ = rounder.take(matrix)
            if matrix.expert is None:
                state[matrix.name] = weight
            else:
                experts = state.setdefault(matrix.name, [])
                assert isinstance(experts, list)
                experts.append(weight)
            if progress is not None:
                progress(done, len(todo))
    kept = {name: source.kept(name) for name in kept_names(source.config)}
    if scheme is not AS_IT_IS:
        for name, tensor in kept.items():
            check_finite(tensor, released_name(name), shape=tuple(tensor.shape))
    return state | kept


class Work:
    """What becomes of one matrix: it is kept, converted or rounded."""

    def __init__(self, source: Source, scheme: Scheme, importance: Importance) -> None:
        self.source, self.scheme, self.importance = source, scheme, importance

    def __call__(self, matrix: Matrix) -> Rounded:
        if rounded_format(self.scheme, matrix) is not None:
            floats = self.source.floats(matrix)
            return round_one(matrix, floats, self.scheme, self.importance)
        found = self.source.matrix(matrix)
        if isinstance(found, Loose):
            format, group = AGAIN[found.bits]
            return round_matrix(found.values, format, group=group, name=matrix.module)
        if self.scheme is not AS_IT_IS:
            check_finite(found.data, matrix.module, shape=matrix.shape)
        if self.scheme.format_of(matrix.part) == "bf16" and found.format == "float32":
            found = Weight("bfloat16", found.data.bfloat16())
        return found, Loss()
