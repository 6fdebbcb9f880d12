"""`POST /v1/decisions`: OpenAI's typed questions, answered with probabilities and no text."""

from __future__ import annotations

from fastapi import APIRouter

from canvaslm.engine.decide.answers import Decisions
from canvaslm.engine.decide.decide import Rules
from canvaslm.server.asking.gaps import blaming
from canvaslm.server.asking.params import check_size, count_characters
from canvaslm.server.asking.questions import (
    answer,
    check_options,
    knows_calls,
    openai_answers,
    plan,
    read_input,
    read_openai,
)
from canvaslm.server.schema.decisions import Decision, DecisionsBody, DecisionUsage, InputDetails
from canvaslm.server.service import CallerDep, ServiceDep

router = APIRouter(tags=["decisions"])


@router.post("/v1/decisions")
async def decisions(body: DecisionsBody, service: ServiceDep, caller: CallerDep) -> Decision:
    """Answer questions about a text or a conversation.

    Each question is answered as if it were asked alone; neither the order of the questions nor that
    of a choice's options has any influence.
    """
    caller = service.asking(body.model, caller)
    rules = Rules(method=body.method, orders=body.orders, divide_prior=body.divide_prior)
    check_size("input", count_characters(body.model_dump()), service.settings.prompt)
    questions = read_openai(body.questions)
    check_options(questions, orders=body.orders)
    lm = service.lm
    state = read_input(body.input, calls=knows_calls(lm))
    with blaming("input", DecisionsBody.model_fields):
        laid = await service.prepare(lambda: plan(lm, state, questions, rules=rules), caller)
        (found,) = await service.gather(lambda lm: [answer(lm, laid)], caller)
    assert isinstance(found, Decisions)
    return Decision.model_validate(
        {
            "model": caller.model,
            "answers": openai_answers(found, body.questions),
            "usage": DecisionUsage(
                input_tokens=found.input_tokens,
                input_tokens_details=InputDetails(cached_tokens=found.cached_tokens),
                total_tokens=found.input_tokens,
                passes=found.passes,
            ),
        }
    )
