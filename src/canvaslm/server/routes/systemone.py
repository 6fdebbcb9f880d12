"""`POST /v1/systemone`: System One's typed questions by name, answered with probabilities."""

from __future__ import annotations

from fastapi import APIRouter

from canvaslm.engine.decide.answers import Decisions
from canvaslm.engine.decide.decide import Rules
from canvaslm.server.asking.gaps import blaming
from canvaslm.server.asking.params import check_size, count_characters
from canvaslm.server.asking.questions import (
    answer,
    check_options,
    plan,
    read_system_one,
    system_one_answers,
)
from canvaslm.server.schema.systemone import SystemOneBody, SystemOneReply, SystemOneUsage
from canvaslm.server.service import CallerDep, ServiceDep

router = APIRouter(tags=["decisions"])


@router.post("/v1/systemone")
async def systemone(body: SystemOneBody, service: ServiceDep, caller: CallerDep) -> SystemOneReply:
    """Answer questions about a state: a text, JSON, or messages.

    Each question is answered as if it were asked alone; neither the order of the questions nor that
    of a choice's options has any influence.
    """
    caller = service.asking(body.model, caller)
    rules = Rules(method=body.method, orders=body.orders, divide_prior=body.divide_prior)
    check_size("state", count_characters(body.model_dump()), service.settings.prompt)
    questions = read_system_one(body.questions)
    check_options(questions, orders=body.orders)
    lm = service.lm
    with blaming("state", SystemOneBody.model_fields):
        laid = await service.prepare(lambda: plan(lm, body.state, questions, rules=rules), caller)
        (found,) = await service.gather(lambda lm: [answer(lm, laid)], caller)
    assert isinstance(found, Decisions)
    return SystemOneReply.model_validate(
        {
            "model": caller.model,
            "answers": system_one_answers(found),
            "usage": SystemOneUsage(
                input_tokens=found.input_tokens,
                cached_tokens=found.cached_tokens,
                passes=found.passes,
            ),
        }
    )
