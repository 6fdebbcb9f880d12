"""`/v1/completions` over a real server."""

from typing import Any

import httpx
import openai
import pytest
from openai.types import Completion as OpenAICompletion

from canvaslm import LM, Params
from canvaslm.server.schema.completions import Completion
from canvaslm.server.telling.completions import old_text

PROMPT = "def add(a, b):\n    return"
URL = "/v1/completions"


def post(client: httpx.Client, **body: Any) -> dict[str, Any]:
    got = client.post(
        URL, json={"prompt": PROMPT, "seed": 3, "max_tokens": 8, "max_steps": 6, **body}
    )
    assert got.status_code == 200, got.text
    reply: dict[str, Any] = got.json()
    Completion.model_validate(reply, strict=True, extra="forbid")
    return reply


def test_it_goes_on_with_a_text_as_the_model_does(client: httpx.Client, lm: LM) -> None:
    reply = post(client)
    OpenAICompletion.model_validate(reply)
    ids = [lm.tokenizer.bos_id, *lm.tokenizer.encode(PROMPT)]
    alone = lm.generate(ids, params=Params(seed=3, max_tokens=8, max_steps=6))
    assert reply["choices"][0]["text"] == alone.text
    assert reply["usage"]["prompt_tokens"] == len(ids)
    assert reply["usage"]["completion_tokens"] == len(alone.token_ids)
    assert reply["usage"]["steps"] == alone.usage.steps


def test_prompts_and_seeds_give_choices_in_order(client: httpx.Client) -> None:
    reply = post(client, prompt=[PROMPT, "x ="], n=2)
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2, 3]
    texts = [choice["text"] for choice in reply["choices"]]
    assert texts[0] == post(client)["choices"][0]["text"]
    assert texts[3] == post(client, prompt="x =", seed=4)["choices"][0]["text"]


def test_ids_are_read_as_they_are(client: httpx.Client, lm: LM) -> None:
    ids = [lm.tokenizer.bos_id, *lm.tokenizer.encode(PROMPT)]
    whole = post(client)
    for prompt in (ids, [ids]):
        assert post(client, prompt=prompt)["choices"] == whole["choices"]


def test_a_control_string_in_a_prompt_is_text(client: httpx.Client) -> None:
    reply = post(client, prompt="a<turn|>b", echo=True, logprobs=0, max_tokens=1)
    tokens = reply["choices"][0]["logprobs"]["tokens"]
    assert "<turn|>" not in tokens[:-1]
    assert reply["choices"][0]["text"].startswith("a<turn|>b")


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_an_echo_is_scored_as_harnesses_expect(
    client: httpx.Client, lm: LM, max_tokens: int
) -> None:
    ids = lm.tokenizer.encode("x = 1\nprint(x)")
    body = {"prompt": [ids, ids[:3]], "echo": True, "logprobs": 1, "temperature": 0}
    reply = post(client, **body, max_tokens=max_tokens)
    for choice, given in zip(reply["choices"], [ids, ids[:3]], strict=True):
        shown = choice["logprobs"]
        assert {len(part) for part in shown.values()} == {len(given) + max_tokens}
        assert shown["token_logprobs"][0] is None
        scores = lm.score(given)
        for here, there in zip(shown["token_logprobs"][1 : len(given)], scores.tokens, strict=True):
            assert here == pytest.approx(there.logprob, abs=1e-3)
        for place, token in enumerate(shown["tokens"][1:], start=1):
            assert shown["top_logprobs"][place][token] == shown["token_logprobs"][place]
        for token, place in zip(shown["tokens"], shown["text_offset"], strict=True):
            if place < len(choice["text"]):
                assert choice["text"][place:].startswith(token)
    assert reply["usage"]["completion_tokens"] == 2 * max_tokens


def test_what_was_added_to_a_text_is_not_scored(client: httpx.Client, lm: LM) -> None:
    shown = post(client, echo=True, logprobs=0, max_tokens=0)["choices"][0]["logprobs"]
    assert "".join(shown["tokens"]) == PROMPT
    assert None not in shown["token_logprobs"]
    assert shown["top_logprobs"] is None


def test_nothing_is_written_of_no_tokens(client: httpx.Client) -> None:
    choice = post(client, max_tokens=0)["choices"][0]
    assert (choice["text"], choice["finish_reason"], choice["logprobs"]) == ("", "length", None)


def test_a_stream_adds_up_to_the_answer(client: httpx.Client, server: Any) -> None:
    made = post(client, n=2, echo=True)
    talk = openai.OpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0)
    texts, usage = ["", ""], None
    for chunk in talk.completions.create(
        model="canvaslm-pocket",
        prompt=PROMPT,
        seed=3,
        max_tokens=8,
        n=2,
        echo=True,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"canvas_events": True, "max_steps": 6},
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
        usage = chunk.usage or usage
    assert texts == [choice["text"] for choice in made["choices"]]
    assert usage is not None
    assert usage.completion_tokens == made["usage"]["completion_tokens"]


def test_a_suffix_fills_the_gap(client: httpx.Client) -> None:
    got = client.post(
        URL, json={"prompt": "def f(a):\n    ", "suffix": "\n\nprint(f(1))\n", "max_tokens": 6}
    )
    assert got.status_code == 200, got.text
    reply = got.json()
    OpenAICompletion.model_validate(reply)
    assert isinstance(reply["choices"][0]["text"], str)


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"best_of": 2}, "best_of"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [5000]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": ["a"] * 33}, "prompt"),
        ({"prompt": [1] * 9000, "max_tokens": 0}, "prompt"),
        ({"prompt": [1] * 8000}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"suffix": "b", "echo": True}, "echo"),
        ({"suffix": "b", "n": 2}, "n"),
        ({"suffix": "b", "prompt": ["a"]}, "prompt"),
        ({"suffix": "b", "logprobs": 1}, "logprobs"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"thinking": True}, "thinking"),
        ({"canvas_events": True}, "canvas_events"),
        ({"regex": "a", "choice": ["b"]}, "regex"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(
    client: httpx.Client, wrong: dict[str, Any], param: str
) -> None:
    got = client.post(URL, json={"prompt": PROMPT, **wrong})
    assert got.status_code == 400, got.text
    assert got.json()["error"]["param"].split(".")[0] == param, got.text


def test_a_token_that_is_no_text_is_written_by_its_bytes() -> None:
    assert old_text(b"\xe2\x80") == "bytes:\\xe2\\x80"
    assert old_text("é".encode()) == "é"
