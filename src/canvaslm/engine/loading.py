"""A folder or hub id to a model that answers: placed, its memory planned for, loaded."""

from __future__ import annotations

from pathlib import Path

from canvaslm.adapter.adapter import Adapter
from canvaslm.adapter.files import read_adapter
from canvaslm.adapter.mark import warn_of_another_base
from canvaslm.checkpoint.folder import Checkpoint, open_checkpoint
from canvaslm.checkpoint.hub import SHIPPED
from canvaslm.engine.decide.calibration import Calibration
from canvaslm.engine.device import Placement, choose
from canvaslm.engine.lm import LM, Cache
from canvaslm.engine.load import load_model, load_native
from canvaslm.engine.plan import check_memory
from canvaslm.engine.settings import Settings
from canvaslm.errors import CheckpointError, ParameterError
from canvaslm.model.presets import parameter_count
from canvaslm.quant.scheme import Scheme
from canvaslm.text.tokenizer import Tokenizer

POCKET = SHIPPED["pocket"]


def load(
    path: str | Path | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    quant: str | Scheme | None = None,
    cache: Cache = "auto",
    context: int | None = None,
    adapter: str | Path | Adapter | None = None,
) -> LM:
    """Load a checkpoint folder, hub id or shipped model, "pocket" or "sudoku"; by default pocket.

    `device` is auto, cpu, cuda or cuda:N; `dtype` auto, float32, bfloat16, float16 or float64.
    `lm.placement` says what auto came to and why. `quant` int4, mxfp4 or int8 rounds the weights
    while they are read; a folder that `canvaslm quantize` wrote needs no `quant`. Rounded weights
    run on the CPU. There `cache` "int8" keeps K and V in 8 bits, for long prompts.

    What a CPU is to hold is planned for first, with `context` tokens of prompt and answer, 8,192 if
    it is not given; it limits nothing later. `adapter`, a PEFT folder, is served unmerged: see
    `LM.adapted`.

    Raises CheckpointError and its kinds for a checkpoint that cannot be used, ParameterError for a
    device, dtype or quant that is not there, OutOfMemoryError if the plan does not fit, with its
    numbers and what would fit.
    """
    checkpoint = open_checkpoint(POCKET if path is None else path)
    found = adapter if adapter is None or isinstance(adapter, Adapter) else read_adapter(adapter)
    if found is not None:
        found.check(checkpoint.config)
        warn_of_another_base(found, checkpoint)
    if quant is not None or checkpoint.quantised:
        lm = load_rounded(
            checkpoint, device=device, dtype=dtype, quant=quant, cache=cache, context=context
        )
    else:
        lm = load_floats(checkpoint, device=device, dtype=dtype, cache=cache, context=context)
    return lm if found is None else lm.adapted(found)


def load_floats(
    checkpoint: Checkpoint, *, device: str, dtype: str, cache: Cache, context: int | None
) -> LM:
    placement = choose(
        device, dtype, stored=checkpoint.dtype, parameters=parameter_count(checkpoint.config)
    )
    if placement.device.type == "cpu":
        check_memory(checkpoint, dtype=placement.dtype, context=context, cache=cache)
    elif context is not None:
        raise ParameterError(
            f"context={context} would have no effect on {placement.device}: the memory of a CPU is "
            "planned for, so leave it out"
        )
    return LM(
        load_model(checkpoint, device=placement.device, dtype=placement.dtype),
        tokenizer=tokenizer_of(checkpoint),
        settings=Settings.read(checkpoint.generation, checkpoint.config),
        placement=placement,
        calibration=Calibration.read(checkpoint.path),
        cache=cache,
    )


def load_rounded(
    checkpoint: Checkpoint,
    *,
    device: str,
    dtype: str,
    quant: str | Scheme | None,
    cache: Cache,
    context: int | None,
) -> LM:
    if device not in ("auto", "cpu") or dtype != "auto":
        raise ParameterError(
            f"device={device!r}, dtype={dtype!r}: quantised weights run on the CPU, in types of "
            'their own; leave both at "auto", or load a checkpoint in floating point without quant'
        )
    check_memory(checkpoint, quant=quant, context=context, cache=cache)
    network = load_native(checkpoint, quant=quant)
    return LM(
        network,
        tokenizer=tokenizer_of(checkpoint),
        settings=Settings.read(checkpoint.generation, checkpoint.config),
        placement=Placement(
            device=network.device,
            dtype=network.dtype,
            why_device="quantised weights run there",
            why_dtype="of queries; each weight has its own",
        ),
        calibration=Calibration.read(checkpoint.path),
        cache=cache,
    )


def tokenizer_of(checkpoint: Checkpoint) -> Tokenizer | None:
    """The folder's tokenizer. Raises CheckpointError if the network cannot take its tokens."""
    tokenizer, room = Tokenizer.from_folder(checkpoint.path), checkpoint.config.vocab_size
    if tokenizer is not None and tokenizer.vocab_size > room:
        raise CheckpointError(
            f"the tokenizer of {checkpoint.path} has {tokenizer.vocab_size:,} tokens, the network "
            f"{room:,}: they belong to different models; give the folder its own tokenizer.json"
        )
    return tokenizer
