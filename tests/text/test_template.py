"""Rendering equals `transformers`', and a template cannot take the machine down."""

import json
from datetime import datetime

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models

from canvaslm.errors import TemplateError
from canvaslm.text.messages import Conversation
from canvaslm.text.template import ChatTemplate
from canvaslm.text.tokenizer import Tokenizer

USER = {"role": "user", "content": "  How warm is it? ☀ 中 "}
PARTS = [{"type": "text", "text": " a "}, {"type": "image"}, {"type": "text", "text": "b"}]
SYSTEM = {"role": "system", "content": "Be brief.\n"}
ANSWER = {"role": "assistant", "content": "<|channel>thought\nhm\n<channel|>Warm."}
CALL = {
    "role": "assistant",
    "tool_calls": [
        {
            "id": "1",
            "type": "function",
            "function": {
                "name": "weather",
                "arguments": {"place": "Bern", "days": 2, "deep": {"a": [1.5, True, "x"]}},
            },
        }
    ],
}
RESULT = {
    "role": "assistant",
    "tool_responses": [{"name": "weather", "response": {"warm": True, "degrees": 25.5}}],
}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Looks at the sky.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "Where.", "enum": ["Bern", "Uri"]},
                "days": {"type": "integer", "nullable": True},
                "hours": {"type": "array", "items": {"type": "string"}},
                "wind": {
                    "type": "object",
                    "properties": {"speed": {"type": "number"}},
                    "required": ["speed"],
                },
            },
            "required": ["place"],
        },
    },
}
CONVERSATIONS = {
    "one turn": ([USER], None),
    "system": ([SYSTEM, USER], None),
    "history": ([SYSTEM, USER, ANSWER, USER], None),
    "parts": ([SYSTEM, {"role": "user", "content": PARTS}], None),
    "tools": ([USER], [TOOL]),
    "tools and system": ([SYSTEM, USER], [TOOL, TOOL]),
    "tool call": ([USER, CALL], [TOOL]),
    "tool result": ([USER, CALL, RESULT], [TOOL]),
    "after a tool": ([USER, CALL, RESULT, ANSWER, USER], [TOOL]),
}


@pytest.fixture(scope="module")
def oracle(gemma_folder):
    """`transformers` with the real template; a vocabulary of nothing, as only text is compared."""
    transformers = pytest.importorskip("transformers")
    config = json.loads((gemma_folder / "tokenizer_config.json").read_text())
    names = {name: text for name, text in config.items() if name.endswith("_token")}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(models.BPE()),
        chat_template=(gemma_folder / "chat_template.jinja").read_text(),
        **{name: text for name, text in names.items() if isinstance(text, str)},
    )


def render(source: str, *messages: dict, tools: list | None = None, **settings: object) -> str:
    conversation = Conversation.parse(messages or [USER], tools=tools)
    return ChatTemplate(source).render(conversation, **settings)


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_real_template_gives_what_transformers_gives(gemma: Tokenizer, oracle, name, thinking):
    messages, tools = CONVERSATIONS[name]
    expected = oracle.apply_chat_template(
        messages,
        tools=tools,
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=thinking,
    )
    conversation = Conversation.parse(messages, tools=tools)
    text = gemma.template.render(conversation, thinking=thinking, variables=gemma.names)
    assert text == expected
    if not conversation.media():
        assert gemma.render(messages, thinking=thinking, tools=tools) == gemma.encode(expected)


@pytest.mark.slow
def test_the_prompt_is_what_transformers_makes(gemma: Tokenizer, gemma_folder):
    transformers = pytest.importorskip("transformers")
    whole = transformers.PreTrainedTokenizerFast.from_pretrained(gemma_folder)
    for messages, tools in CONVERSATIONS.values():
        if Conversation.parse(messages).media():
            continue
        for thinking in (False, True):
            expected = whole.apply_chat_template(
                messages, tools=tools, add_generation_prompt=True, enable_thinking=thinking
            )
            assert gemma.render(messages, thinking=thinking, tools=tools) == expected["input_ids"]


SOURCES = {
    "json": "{{ messages | tojson }}{{ messages | tojson(indent=2) }}",
    "blocks": "{% for m in messages %}\n    {% if m.role %}\n  x\n    {% endif %}\n{% endfor %}\n",
    "loop": "{% for m in messages + messages %}{{ loop.index }}{{ loop.last }}{{ loop.length }}"
    "{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{{ loop.revindex }}"
    "{% else %}none{% endfor %}",
    "nothing to loop over": "{% for m in missing %}a{% else %}b{% endfor %}",
    "conditions": "{% for m in messages if m.role == 'user' %}{{ m.role }}{% endfor %}",
    "recursion": "{% for m in [[1, [2]], [3]] recursive %}{{ m if m is number else loop(m) }}"
    "{% endfor %}",
    "break": "{% for m in range(9) %}{% if m == 2 %}{% continue %}{% endif %}"
    "{% if m == 5 %}{% break %}{% endif %}{{ m }}{% endfor %}",
    "generation": "a{% generation %}{% set x = 1 %}b{{ x }}{% endgeneration %}{{ x }}",
    "joining": "{{ 'a' ~ 1 ~ none ~ ('b' ~ 2) }}{{ 'ab' * 3 }}{{ 2 ** 5 }}{{ [1] + [2] }}",
    "macros": "{% macro f(x) %}{% for i in range(x) %}{{ i }}{% endfor %}{% endmacro %}{{ f(3) }}",
    "tools": "{{ tools is none }}{{ documents is none }}{{ bos_token }}{{ add_generation_prompt }}",
}


@pytest.mark.parametrize("name", SOURCES)
def test_the_sandbox_offers_what_transformers_offers(name):
    transformers = pytest.importorskip("transformers")
    oracle = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(models.BPE()), bos_token="<bos>"
    )
    messages = [{"role": "user", "content": "<b> & 'é'"}]
    expected = oracle.apply_chat_template(
        messages, chat_template=SOURCES[name], tokenize=False, add_generation_prompt=True
    )
    conversation = Conversation.parse(messages)
    template = ChatTemplate(SOURCES[name])
    assert template.render(conversation, variables={"bos_token": "<bos>"}) == expected


def test_the_clock_is_the_one_given():
    template = ChatTemplate("{{ strftime_now('%Y-%m-%d') }}", now=lambda: datetime(2031, 2, 3))
    assert template.render(Conversation.parse([USER])) == "2031-02-03"


@given(count=st.integers(1, 9), at=st.integers(0, 8))
def test_the_message_at_fault_is_named(count, at):
    at %= count
    messages = [{"role": "user", "content": "bad" if n == at else "good"} for n in range(count)]
    source = (
        "{% for m in messages if m.content == 'bad' %}{{ raise_exception('smelly') }}{% endfor %}"
    )
    with pytest.raises(TemplateError, match=rf"messages\[{at}\] \(role 'user'\): smelly\."):
        render(source, *messages)


def test_a_last_message_at_fault_is_named():
    source = "{% if messages[-1].role != 'user' %}{{ raise_exception('ends so') }}{% endif %}"
    with pytest.raises(TemplateError, match=r"messages\[3\] \(role 'assistant'\): ends so"):
        render(source, USER, ANSWER, USER, ANSWER)


def test_tools_at_fault_are_named():
    source = "{% if tools %}{{ raise_exception('no tools') }}{% endif %}"
    with pytest.raises(TemplateError, match="refused the tools: no tools"):
        render(source, USER, tools=[TOOL])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ missing.thing.other }}", "missing"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ messages + 1 }}", "TypeError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{% for i in 3 %}{% endfor %}", "TypeError"),
        ("{% include 'other' %}", "TypeError"),
    ],
)
def test_every_failure_is_a_template_error(source, reason):
    with pytest.raises(TemplateError, match=reason):
        render(source)


@pytest.mark.parametrize(
    "source", ["{% for %}", "{{ 'a }}", "{% generation %}", "{{ x | nofilter }}", "{" * 9 + "%"]
)
def test_a_template_that_is_none_is_refused(source):
    with pytest.raises(TemplateError, match="cannot be compiled"):
        render(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(role='x') }}",
        "{{ raise_exception.__globals__.json }}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ cycler.__init__.__globals__.os.getcwd() }}",
        "{{ '{0.__class__.__mro__}'.format(1) }}",
    ],
)
def test_the_sandbox_holds(source):
    messages = [dict(USER)]
    with pytest.raises(TemplateError, match="unsafe"):
        ChatTemplate(source).render(Conversation.parse(messages))
    assert messages == [USER]


@pytest.mark.parametrize(
    "source",
    [
        "{% set r = range(90000) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='aa') %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}"
        "{% endfor %}",
        "{% set ns = namespace(x='aa') %}{% for a in range(99) %}{% set ns.x = ns.x ~ ns.x %}"
        "{% endfor %}",
        "{{ 'a' * 10 ** 9 }}",
        "{{ [1] * 1000000000 }}",
        "{{ 9 ** 999999999 }}",
        "{% set x = 'a' * 9000000 %}{{ x }}{{ x }}{{ x }}{{ x }}",
        "{% for i in range(999999999) %}{% endfor %}",
        "x" * 1_000_001,
    ],
)
def test_a_template_that_runs_away_is_stopped(source):
    with pytest.raises(TemplateError):
        render(source)


def test_loops_may_be_long():
    source = "{% for m in messages %}{{ m.content }}{% endfor %}"
    messages = [{"role": "user", "content": "x"}] * 20_000
    assert render(source, *messages) == "x" * 20_000
