"""Typed questions over HTTP: laid out beside the engine, answered by it."""

from __future__ import annotations

from canvaslm.engine.decide.answers import Decisions
from canvaslm.engine.decide.decide import Rules
from canvaslm.engine.decide.layout import State
from canvaslm.server.asking.gaps import blaming
from canvaslm.server.asking.params import check_size, count_characters
from canvaslm.server.asking.questions import Named, answer, check_options, plan
from canvaslm.server.schema.decisions import DecisionsBody
from canvaslm.server.schema.systemone import SystemOneBody
from canvaslm.server.service import Caller, Service


def check(body: DecisionsBody | SystemOneBody, field: str, service: Service) -> None:
    """Raise ApiError for a body that is too large; `field` holds its state."""
    check_size(field, count_characters(body.model_dump()), service.settings.prompt)


async def decide(
    body: DecisionsBody | SystemOneBody,
    field: str,
    *,
    state: State,
    questions: Named,
    service: Service,
    caller: Caller,
) -> Decisions:
    """The answers to `questions` about `state`, which the body's `field` holds."""
    check_options(questions, orders=body.orders)
    rules = Rules(method=body.method, orders=body.orders, divide_prior=body.divide_prior)
    lm = service.lm
    with blaming(field, type(body).model_fields):
        laid = await service.prepare(lambda: plan(lm, state, questions, rules=rules), caller)
        (found,) = await service.gather(lambda lm: [answer(lm, laid)], caller)
    assert isinstance(found, Decisions)
    return found
