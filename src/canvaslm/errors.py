"""Every exception canvaslm raises on purpose, in one tree.

    CanvasError
    ├── CheckpointError            a model folder or file cannot be used
    │   ├── ConfigError            config.json has an unknown key, lacks one, or holds a bad value
    │   ├── TensorError            a tensor is missing, surplus, or of the wrong shape or type
    │   ├── CorruptFileError       a file is truncated or is not what its name says
    │   └── MissingTokenizerError  the checkpoint has no tokenizer, and text was asked for
    ├── ParameterError             a request parameter is of the wrong type or out of range
    │   ├── ContextLengthError     prompt and answer do not fit the model's context
    │   └── ConstraintError        a constraint is invalid, unsupported, or nothing can satisfy it
    ├── TemplateError              the chat template refused these messages
    ├── TaskError                  a task has no such name, split or bin
    ├── StorageError               the disk is full or may not be written
    ├── OutOfMemoryError           the memory of the device does not hold the model
    ├── TrainingError              a training run cannot start, continue or be resumed
    │   └── DivergedError          a loss or gradient is no finite number
    └── ServingError               a request to a running engine did not come to its end
        ├── OverloadedError        too many requests are waiting; it says when to come again
        ├── RequestCancelledError  whoever asked, or the engine, gave it up
        ├── DeadlineError          its time was over
        └── StoppedError           the engine is stopping, or has stopped

Each message says what was wrong, what was expected and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class CanvasError(Exception):
    """The root: `except canvaslm.CanvasError` catches whatever this package raises on purpose."""


class CheckpointError(CanvasError):
    """A model folder or file cannot be used."""


class ConfigError(CheckpointError):
    """A model configuration has an unknown key, lacks one, or holds a value that does not fit."""


class TensorError(CheckpointError):
    """A tensor is missing, surplus, or of the wrong shape or type; the message names it."""


class CorruptFileError(CheckpointError):
    """A file is truncated or is not what its name says."""


class MissingTokenizerError(CheckpointError):
    """The checkpoint has no tokenizer, so it can be used with token ids only."""


class ParameterError(CanvasError, ValueError):
    """A request parameter is of the wrong type or out of range."""


class ContextLengthError(ParameterError):
    """The prompt, or the prompt and the answer together, do not fit the model's context."""


class ConstraintError(ParameterError):
    """A constraint is invalid or unsupported, or nothing satisfies it; the message says where."""


class TemplateError(CanvasError, ValueError):
    """The chat template refused these messages."""


class TaskError(CanvasError, ValueError):
    """A task has no such name, split or bin, or its data cannot be found."""


class StorageError(CanvasError, OSError):
    """The disk is full or may not be written; nothing half-written was left behind."""


class OutOfMemoryError(CanvasError, MemoryError):
    """The memory of the device does not hold the model; said before loading where it is planned."""


class TrainingError(CanvasError):
    """A training run cannot start, continue or be resumed."""


class DivergedError(TrainingError):
    """A loss or gradient is no finite number; `batch` is what it came from, tensors by name."""

    def __init__(self, message: str, *, batch: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.batch = batch


class ServingError(CanvasError):
    """A request to a running engine did not come to its end."""


class OverloadedError(ServingError):
    """Too many requests are waiting; ask again in `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RequestCancelledError(ServingError):
    """Whoever asked, or the engine, gave the request up; the message is the reason."""


class DeadlineError(ServingError):
    """The request's time was over before its end."""


class StoppedError(ServingError):
    """The engine is stopping, or has stopped: it takes no requests."""
