"""The checkpoint's chat template: a conversation becomes the text that the model reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

import jinja2

from canvaslm.errors import TemplateError
from canvaslm.text.messages import Conversation
from canvaslm.text.results import fold_results
from canvaslm.text.sandbox import MAX_TEXT, MAX_TURNS, TURNS, compile_template

RESULTS = "tool_responses"
"""A template that speaks of these wants the results of tools in them, not as messages."""


class ChatTemplate:
    """A Jinja template as checkpoints carry it, rendered as `transformers` does, in a sandbox.

    `now` is the clock behind `strftime_now`. The source is compiled on first use.
    """

    def __init__(self, source: str, *, now: Callable[[], datetime] = datetime.now) -> None:
        self.source = source
        self._now = now

    def render(
        self,
        conversation: Conversation,
        *,
        thinking: bool = False,
        add_generation_prompt: bool = True,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """The text of `conversation`, up to where the model goes on.

        `variables` are further names that the template may use, such as bos_token. Raises
        TemplateError that says which message, or that the tools, were refused, and why.
        """
        template = self._template
        if RESULTS in self.source:
            conversation = fold_results(conversation)
        settings = {
            **(variables or {}),
            "enable_thinking": thinking,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return _render(template, conversation, settings)
        except Exception as failure:  # a template can fail in every way that Python can
            where = _find_refused(template, conversation, settings)
            raise TemplateError(
                f"the chat template refused {where}: {_reason(failure)}. Change the conversation"
                " to what the template expects"
            ) from failure

    @cached_property
    def _template(self) -> jinja2.Template:
        try:
            return compile_template(self.source, now=self._now)
        except (jinja2.TemplateError, RecursionError) as failure:
            raise TemplateError(
                f"the checkpoint's chat template cannot be compiled: {_reason(failure)}. Mend"
                " chat_template.jinja, or give token ids instead of messages"
            ) from failure


def _render(
    template: jinja2.Template, conversation: Conversation, settings: Mapping[str, Any]
) -> str:
    pieces = []
    room = MAX_TEXT
    for piece in template.generate(
        **settings,
        messages=list(conversation.messages),
        tools=list(conversation.tools) or None,
        documents=None,
        **{TURNS: iter(range(MAX_TURNS))},
    ):
        room -= len(piece)
        if room < 0:
            raise jinja2.TemplateError(f"it wrote more than {MAX_TEXT} characters")
        pieces.append(piece)
    return "".join(pieces)


def _find_refused(
    template: jinja2.Template, conversation: Conversation, settings: Mapping[str, Any]
) -> str:
    """Name the tools if it works without them, else the message that ends the beginning at fault.

    Usually the last message; else halving finds the place where a longer beginning starts to fail.
    """
    messages = conversation.messages

    def fails(part: Conversation) -> bool:
        try:
            _render(template, part, settings)
        except Exception:
            return True
        return False

    def fails_at(count: int) -> bool:
        return fails(Conversation(messages=messages[:count], tools=conversation.tools))

    if conversation.tools and not fails(Conversation(messages=messages)):
        return "the tools"
    good, bad = 0, len(messages)
    if bad > 1 and not fails_at(bad - 1):
        good = bad - 1
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if fails_at(middle) else (middle, bad)
    return f"messages[{bad - 1}] (role {messages[bad - 1]['role']!r})"


def _reason(failure: Exception) -> str:
    if isinstance(failure, jinja2.TemplateSyntaxError):
        return f"line {failure.lineno}: {failure.message}"
    if isinstance(failure, jinja2.TemplateError):
        return str(failure.message)
    return f"{type(failure).__name__}: {failure}"
