"""Decisions as they are asked over HTTP: states, questions and answers, to and from the engine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from canvaslm.engine.decide.answers import Decisions
from canvaslm.engine.decide.decide import Plan, Rules
from canvaslm.engine.decide.formats import (
    Json,
    as_openai,
    as_system_one,
    from_openai,
    from_system_one,
)
from canvaslm.engine.decide.layout import State
from canvaslm.engine.decide.questions import Question
from canvaslm.engine.lm import LM
from canvaslm.errors import ContextLengthError, ParameterError
from canvaslm.server.asking.calls import name_of, read_arguments
from canvaslm.server.errors import ApiError
from canvaslm.server.schema import decisions as openai
from canvaslm.server.schema import systemone
from canvaslm.server.schema.parts import GivenRefusal
from canvaslm.text.messages import Message

Named = dict[str | int, Question]
Call = openai.FunctionCall | openai.CustomCall
Output = openai.FunctionOutput | openai.CustomOutput

MOST_OPTIONS = 8192
"""Of all questions together, in all orders."""


def read_openai(questions: Sequence[openai.Question]) -> Named:
    """Questions by place. Raises ApiError naming the one that cannot be asked."""
    return {
        place: read(as_json(question), place, from_openai)
        for place, question in enumerate(questions)
    }


def read_system_one(questions: Mapping[str, systemone.NamedQuestion]) -> Named:
    """Questions by name. Raises ApiError naming the one that cannot be asked."""
    named: Named = {}
    for name, question in questions.items():
        criteria = question.criteria
        sides = criteria.model_dump() if isinstance(criteria, systemone.Sides) else criteria
        asked = {"type": question.type, "instructions": question.instructions}
        given = asked if sides is None else {**asked, "criteria": sides}
        named[name] = read(given, name, from_system_one)
    return named


def read(given: Json, name: str | int, how: Callable[[Json], Question]) -> Question:
    try:
        return how(given)
    except ParameterError as error:
        raise refusal(name, error) from None


def refusal(name: str | int, error: Exception) -> ApiError:
    """Why this question cannot be asked."""
    return ApiError(f"question {name!r}: {error}", param=f"questions.{name}", code="invalid_value")


def check_options(named: Named, *, orders: int) -> None:
    """Raise ApiError for more options, of all questions in all orders, than are laid out."""
    count = orders * sum(len(question.listed) for question in named.values())
    if count > MOST_OPTIONS:
        raise ApiError(
            f"the questions have {count} options together, in all their orders, and this server "
            f"takes at most {MOST_OPTIONS}: ask them in several requests, or in fewer orders",
            status=413,
            param="questions",
            code="request_too_large",
        )


def as_json(question: openai.Question) -> dict[str, Any]:
    """An OpenAI question whose instructions are one text."""
    asked = question.model_dump(exclude_none=True, exclude={"instructions", "name"})
    return {**asked, "instructions": join(question.instructions)}


def join(content: str | Sequence[openai.Part | openai.Said]) -> str:
    """Parts as one text, each in lines of its own."""
    return content if isinstance(content, str) else "\n".join(map(text_of, content))


def text_of(part: openai.Part | openai.Said) -> str:
    if isinstance(part, openai.InputJson):
        return json.dumps(part.data, sort_keys=True, ensure_ascii=False)
    return part.refusal if isinstance(part, GivenRefusal) else part.text


def read_input(given: str | Sequence[openai.Input], *, calls: bool) -> State:
    """A text, or messages; where the chat template knows no `calls`, they are told as text.

    Raises ApiError for an output that belongs to no call before it.
    """
    if isinstance(given, str):
        return given
    names: dict[str, str] = {}
    messages: list[Message] = []
    for place, item in enumerate(given):
        if isinstance(item, openai.FunctionCall | openai.CustomCall):
            names[item.call_id] = item.name
            messages.append(tell_call(item, place) if calls else say_call(item))
        elif isinstance(item, openai.FunctionOutput | openai.CustomOutput):
            name = name_of(item.call_id, names, place=place)
            messages.append(tell_output(item, name, calls=calls))
        else:
            messages.append({"role": item.role, "content": join(item.content)})
    return messages


def tell_call(call: Call, place: int) -> Message:
    """A call as chat templates know it."""
    arguments = (
        {"input": call.input}
        if isinstance(call, openai.CustomCall)
        else read_arguments(call.arguments, place=place)
    )
    function = {"name": call.name, "arguments": arguments}
    said = {"id": call.call_id, "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [said]}


def say_call(call: Call) -> Message:
    """A call as text."""
    given = call.input if isinstance(call, openai.CustomCall) else call.arguments
    return {"role": "assistant", "content": f"{call.name}({given})"}


def tell_output(output: Output, name: str, *, calls: bool) -> Message:
    content = join(output.output)
    if not calls:
        return {"role": "user", "content": f"{name}: {content}"}
    return {"role": "tool", "tool_call_id": output.call_id, "name": name, "content": content}


def knows_calls(lm: LM) -> bool:
    """Whether the model's chat template shows calls of tools."""
    template = lm.tokenizer.template
    return template is not None and "tool_calls" in template.source


def plan(lm: LM, state: State, named: Named, *, rules: Rules) -> Plan:
    """The questions laid out: not for the event loop, nor for the engine's thread. Raises ApiError
    naming the question that this model cannot be asked."""
    questions: Any = list(named.values()) if 0 in named else named
    try:
        return lm.decider.plan(state, questions, rules=rules)
    except ParameterError:
        find_unaskable(lm, state, named.items(), rules=rules)
        raise


def answer(lm: LM, plan: Plan) -> Decisions:
    """Work for the engine."""
    return lm.decider.answer(plan, calibration=lm.calibration, clock=time.monotonic)


def find_unaskable(
    lm: LM, state: State, named: Iterable[tuple[str | int, Question]], *, rules: Rules
) -> None:
    """Raise the refusal of the first question whose options the model cannot be asked about."""
    frame = lm.decider.frame(state)
    for name, question in named:
        try:
            lm.decider.ask(question, frame, rules)
        except (ParameterError, ContextLengthError) as error:
            raise refusal(name, error) from None


def openai_answers(
    decisions: Decisions, questions: Sequence[openai.Question]
) -> list[dict[str, Any]]:
    """The answers in the order of the questions, with their names."""
    answers = zip(as_openai(decisions), questions, strict=True)
    return [{**answer, "name": question.name} for answer, question in answers]


def system_one_answers(decisions: Decisions) -> dict[str, Any]:
    """The answers by name."""
    return as_system_one(decisions)
