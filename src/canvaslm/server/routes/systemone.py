"""`POST /v1/systemone`: System One's typed questions by name, answered with probabilities."""

from __future__ import annotations

from fastapi import APIRouter

from canvaslm.server.asking.questions import read_system_one, system_one_answers
from canvaslm.server.decided import check, decide
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
    check(body, "state", service)
    questions = read_system_one(body.questions)
    found = await decide(
        body, "state", state=body.state, questions=questions, service=service, caller=caller
    )
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
