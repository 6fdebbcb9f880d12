"""The `ask` task as typed questions."""

from canvaslm import Pick, Rate, YesNo
from canvaslm.eval.asked import as_example, asked


def test_each_form_becomes_its_kind_of_question() -> None:
    yes = as_example("Look.", "Is there a red circle?", "no")
    assert yes.questions == [YesNo("Is there a red circle?")]
    assert yes.right == [1]
    pick = as_example("Look.", "What size is the circle? large, small, medium", "small")
    assert pick.questions == [Pick("What size is the circle?", ["large", "small", "medium"])]
    assert pick.right == [1]
    rate = as_example("Look.", "How many shapes are red? 0, 1, 2, 3, 4", "2")
    assert isinstance(rate.questions[0], Rate)
    assert rate.right == [2]


def test_more_cases_contain_the_fewer_and_half_are_yes_or_no() -> None:
    many, few = asked(20, seed=3, split="test"), asked(8, seed=3, split="test")
    assert many[:8] == few
    assert [case.questions[0].kind == "yes_no" for case in many] == [True, False] * 10
    assert asked(8, seed=3, split="train") != few
