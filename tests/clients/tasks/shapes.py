"""The metric of the task beside it."""

from collections.abc import Sequence


def contains(references: Sequence[str], predictions: Sequence[str], **_: object) -> float:
    """Whether the answer says what it should."""
    return float(references[0] in predictions[0])
