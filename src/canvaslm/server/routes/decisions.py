"""`POST /v1/decisions`: OpenAI's typed questions, answered with probabilities and no text."""

from __future__ import annotations

from fastapi import APIRouter

from canvaslm.server.asking.questions import (
    knows_calls,
    openai_answers,
    read_input,
    read_openai,
)
from canvaslm.server.decided import check, decide
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
    check(body, "input", service)
    questions = read_openai(body.questions)
    state = read_input(body.input, calls=knows_calls(service.lm))
    found = await decide(
        body, "input", state=state, questions=questions, service=service, caller=caller
    )
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
