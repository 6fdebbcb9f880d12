"""Records stand in their sentences, and only the same record is right."""

import json
import random

import pytest

from canvaslm.tasks.records import DOMAINS, Domain, Records
from canvaslm.tasks.task import Example

TASK = Records()


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    rng = random.Random(4)
    return [TASK.sample(rng, split="train") for _ in range(2000)]


def parts(example: Example) -> tuple[list[str], str]:
    head, sentence = example.prompt.split(": ", 1)
    return head.removeprefix("Extract as JSON with keys ").split(", "), sentence


def test_the_answer_is_json_as_python_writes_it(examples: list[Example]) -> None:
    for example in examples:
        assert json.dumps(json.loads(example.answer)) == example.answer


def test_the_answer_has_the_keys_asked_for_in_that_order(examples: list[Example]) -> None:
    for example in examples:
        keys, _ = parts(example)
        assert list(json.loads(example.answer)) == keys
        assert 3 <= len(keys) <= 5


def test_values_stand_in_the_sentence(examples: list[Example]) -> None:
    for example in examples:
        _, sentence = parts(example)
        for value in json.loads(example.answer).values():
            for item in value if isinstance(value, list) else [value]:
                assert isinstance(item, bool) or str(item) in sentence


def test_equal_prompts_have_equal_answers(examples: list[Example]) -> None:
    answers: dict[str, str] = {}
    for example in examples:
        assert answers.setdefault(example.prompt, example.answer) == example.answer


def test_every_kind_of_value_occurs(examples: list[Example]) -> None:
    kinds = {type(v) for one in examples for v in json.loads(one.answer).values()}
    assert kinds == {str, int, bool, list}


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
def test_every_frame_states_every_field(domain: Domain, rng: random.Random) -> None:
    for frame in domain.frames:
        for key in domain.draw(rng):
            assert f"{{{key}}}" in frame or f"{{{key}:" in frame


def altered(record: dict[str, object], key: str) -> dict[str, object]:
    value = record[key]
    other: object = {str: "x", int: -99, bool: 2, list: []}[type(value)]
    return record | {key: other}


def test_one_wrong_value_is_wrong_and_measured(examples: list[Example]) -> None:
    for example in examples[:200]:
        record = json.loads(example.answer)
        for key in record:
            score = TASK.score(example, json.dumps(altered(record, key)))
            assert not score.correct
            assert score.details["fields"] == (len(record) - 1) / len(record)
            assert score.details["keys"] == score.details["valid"] == 1.0


def test_types_count(examples: list[Example]) -> None:
    for example in examples[:300]:
        record = json.loads(example.answer)
        for key, value in record.items():
            if isinstance(value, bool):
                assert not TASK.score(example, json.dumps(record | {key: int(value)})).correct
            elif isinstance(value, int):
                assert not TASK.score(example, json.dumps(record | {key: str(value)})).correct
                assert not TASK.score(example, json.dumps(record | {key: float(value)})).correct


def test_missing_and_surplus_keys_are_wrong(examples: list[Example]) -> None:
    example = examples[0]
    record = json.loads(example.answer)
    surplus = TASK.score(example, json.dumps(record | {"more": 1}))
    assert (surplus.correct, surplus.details["keys"], surplus.details["fields"]) == (False, 0, 1)
    record.popitem()
    assert not TASK.score(example, json.dumps(record)).correct


def test_order_and_spacing_do_not_count(examples: list[Example]) -> None:
    for example in examples[:50]:
        record = json.loads(example.answer)
        backwards = dict(reversed(record.items()))
        assert TASK.score(example, json.dumps(backwards, indent=2)).correct


@pytest.mark.parametrize("text", ["[1]", '"x"', "null", '{"name": "Ada"', "{'name': 'Ada'}"])
def test_what_is_not_a_json_object_is_not_valid(examples: list[Example], text: str) -> None:
    score = TASK.score(examples[0], text)
    assert (score.correct, score.details["valid"]) == (False, 0.0)
