"""Questions with known answers, from JSON lines, and what a model believes about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from canvaslm.engine.decide.decide import Decider, Rules
from canvaslm.engine.decide.fitting import Labelled
from canvaslm.engine.decide.formats import Name, read_questions
from canvaslm.engine.decide.layout import State
from canvaslm.engine.decide.questions import Question
from canvaslm.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class Example:
    """A state, questions about it, and the place of the right option of each."""

    state: State
    questions: Sequence[Question]
    right: Sequence[int]


def read_examples(path: str | Path) -> list[Example]:
    """Lines {"state": ..., "questions": ..., "answers": ...}; the questions in either format.

    Answers are keyed or listed as the questions are: true or false, an option's value, a level's
    number or label. Raises ParameterError naming the line that cannot be used.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} cannot be read: {error}") from None
    examples = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                examples.append(read_example(json.loads(line)))
            except (ValueError, RecursionError) as error:
                raise ParameterError(f"{path}, line {number}: {error}") from None
    if not examples:
        raise ParameterError(f"{path} holds no examples: give lines of state, questions, answers")
    return examples


def read_example(value: object) -> Example:
    keys = {"state", "questions", "answers"}
    if not isinstance(value, Mapping) or set(value) != keys:
        raise ParameterError("expected an object with state, questions and answers")
    named, answers = read_questions(value["questions"]), value["answers"]
    if isinstance(answers, list):
        answers = dict(enumerate(answers))
    if not isinstance(answers, Mapping) or set(answers) != set(named):
        raise ParameterError("answers must be keyed or listed as the questions are, one for each")
    right = [place_of(question, answers[name], name) for name, question in named.items()]
    return Example(state=value["state"], questions=list(named.values()), right=right)


def place_of(question: Question, answer: object, name: Name) -> int:
    """Which of the question's options `answer` is."""
    texts = [option.text for option in question.listed]
    if question.kind == "yes_no" and isinstance(answer, bool):
        return 0 if answer else 1
    if question.kind == "rate" and type(answer) is int and 0 <= answer < len(texts):
        return answer
    text = str(answer).lower() if isinstance(answer, bool) else answer
    if text in texts:
        return texts.index(text)
    raise ParameterError(
        f"the answer to question {name!r} is {answer!r}, expected one of {', '.join(texts)}"
    )


def gather(
    decider: Decider,
    examples: Sequence[Example],
    *,
    rules: Rules,
    progress: Callable[[int], None] | None = None,
) -> list[Labelled]:
    """What the model believes about every question, uncalibrated, beside the truth.

    `progress` is called with the examples done.
    """
    cases = []
    for done, example in enumerate(examples, start=1):
        found = decider.evidence(example.state, example.questions, rules=rules)
        cases += [
            Labelled(kind=question.kind, log_p=log_p, right=right)
            for question, log_p, right in zip(
                example.questions, found.log_p, example.right, strict=True
            )
        ]
        if progress is not None:
            progress(done)
    return cases
