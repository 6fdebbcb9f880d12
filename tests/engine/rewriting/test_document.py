"""Several gaps in one document."""

import pytest

from canvaslm import LM, Params
from canvaslm.errors import ParameterError


def test_every_gap_is_filled_and_all_else_stays(writer: LM) -> None:
    parts = ["def ", "(x):\n", "\n# end"]
    made = writer.infill_document(parts, max_gap=4, params=Params(seed=2))
    first, second = made.fills
    assert made.document == parts[0] + first.text + parts[1] + second.text + parts[2]
    assert second.document == made.document
    assert made.steps == first.steps + second.steps


def test_markers_cut_a_text(writer: LM) -> None:
    marked = writer.infill_document("def <gap>(x):\n<gap>", max_gap=4, params=Params(seed=2))
    parts = writer.infill_document(["def ", "(x):\n", ""], max_gap=4, params=Params(seed=2))
    assert marked.document == parts.document


def test_one_gap_is_an_infill(writer: LM) -> None:
    params = Params(seed=2)
    made = writer.infill_document(["a", "b"], max_gap=4, params=params)
    assert made.document == writer.infill("a", "b", max_gap=4, params=params).document


@pytest.mark.parametrize(
    ("parts", "reason"),
    [("no marker", "no <gap>"), (["alone"], "has no gap"), ([], "has no gap"), (["a", 3], "text")],
)
def test_a_document_without_gaps_is_refused(writer: LM, parts: object, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        writer.infill_document(parts)
