"""`POST /v1/tokenize` and `/v1/detokenize`: what texts are to the model, and back."""

from __future__ import annotations

from fastapi import APIRouter

from canvaslm.engine.lm import LM
from canvaslm.errors import ParameterError
from canvaslm.server.asking.params import check_size, count_characters
from canvaslm.server.errors import ApiError
from canvaslm.server.schema.tokenize import (
    DetokenizeBody,
    DetokenizeReply,
    TokenizeBody,
    TokenizeReply,
)
from canvaslm.server.service import CallerDep, ServiceDep

router = APIRouter(tags=["tokens"])


@router.post("/v1/tokenize", response_model_exclude_none=True)
async def tokenize(body: TokenizeBody, service: ServiceDep, caller: CallerDep) -> TokenizeReply:
    """The tokens of a text, or of messages as a chat shows them to the model."""
    service.check_model(body.model)
    check_body(body)
    size = count_characters([body.text or "", body.messages or [], body.tools or []])
    check_size("text" if body.messages is None else "messages", size, service.settings.prompt)
    lm = service.lm
    return await service.prepare(lambda: read_tokens(body, lm), caller)


def read_tokens(body: TokenizeBody, lm: LM) -> TokenizeReply:
    """Raises what `encode` does."""
    tokens, read = encode(body, lm), lm.tokenizer.decode
    return TokenizeReply(
        tokens=tokens,
        count=len(tokens),
        max_model_len=lm.config.max_positions,
        pieces=[read([id], special=True) for id in tokens] if body.with_pieces else None,
    )


@router.post("/v1/detokenize")
async def detokenize(
    body: DetokenizeBody, service: ServiceDep, caller: CallerDep
) -> DetokenizeReply:
    """The text of tokens."""
    service.check_model(body.model)
    lm = service.lm
    for place, id in enumerate(body.tokens):
        if not 0 <= id < lm.config.vocab_size:
            raise ApiError(
                f"tokens[{place}] is {id}, expected an id in [0, {lm.config.vocab_size})",
                param=f"tokens.{place}",
                code="invalid_value",
            )
    read = lm.tokenizer.decode
    text = await service.prepare(lambda: read(body.tokens, special=body.special), caller)
    return DetokenizeReply(text=text)


def check_body(body: TokenizeBody) -> None:
    """Raise ApiError for both or neither, and for what has no effect."""
    if (body.text is None) == (body.messages is None):
        raise ApiError("give either text or messages", param="text", code="invalid_value")
    idle = ("tools", "thinking") if body.messages is None else ("add_special", "parse_special")
    for name in idle:
        if getattr(body, name):
            other = "messages" if body.messages is None else "text"
            raise ApiError(f"{name} would have no effect without {other}: leave it out", param=name)


def encode(body: TokenizeBody, lm: LM) -> list[int]:
    """Raises ApiError for what the chat template refuses or the tokenizer cannot read."""
    tokenizer = lm.tokenizer
    if body.text is not None:
        opening = [tokenizer.bos_id] if body.add_special and tokenizer.bos_id is not None else []
        return opening + tokenizer.encode(body.text, special=body.parse_special)
    assert body.messages is not None
    try:
        return tokenizer.render(body.messages, thinking=body.thinking, tools=body.tools)
    except ParameterError as error:
        raise ApiError(str(error), param="messages", code="invalid_value") from None
