"""Results of tools as OpenAI's clients send them, where Gemma's template wants them."""

from typing import Any

from canvaslm.text.messages import Conversation
from canvaslm.text.results import fold_results

USER = {"role": "user", "content": "How warm is it?"}


def call(*names: str) -> dict[str, Any]:
    calls = [{"id": f"c{i}", "function": {"name": name}} for i, name in enumerate(names)]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(number: int, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"c{number}", "content": content}


def folded(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    return list(fold_results(Conversation.parse(messages)).messages)


def test_results_join_the_message_of_their_calls_in_order_and_by_name() -> None:
    user, asked = folded(USER, call("sky", "sea"), result(1, "18"), result(0, '{"warm": true}'))
    assert user["role"] == "user"
    assert asked["tool_responses"] == [
        {"name": "sea", "response": "18"},
        {"name": "sky", "response": {"warm": True}},
    ]


def test_what_the_model_said_to_them_is_the_same_turn() -> None:
    said = {"role": "assistant", "content": "Warm."}
    _, turn, more = folded(USER, call("sky"), result(0, "25"), said, USER)
    assert turn["content"] == "Warm."
    assert more["role"] == "user"


def test_a_second_call_is_a_message_of_its_own() -> None:
    made = folded(USER, call("sky"), result(0, "25"), call("sea"), result(0, "18"))
    assert [message.get("tool_responses", [{}])[0].get("name") for message in made] == [
        None,
        "sky",
        "sea",
    ]


def test_a_result_of_nothing_stays_as_it_is() -> None:
    stray = {"role": "tool", "content": "25"}
    assert folded(USER, stray) == [USER, stray]


def test_a_conversation_without_tools_is_unchanged() -> None:
    messages = [USER, {"role": "assistant", "content": "Yes."}, USER]
    assert folded(*messages) == messages


def test_gemma_reads_them_in_its_own_words(gemma: Any) -> None:
    asked = [USER, call("weather"), result(0, '{"degrees": 25}')]
    text = gemma.decode(gemma.render(asked), special=True)
    assert (
        "<|tool_call>call:weather{}<tool_call|><|tool_response>response:weather{degrees:25}" in text
    )
    assert "<|turn>tool" not in text
