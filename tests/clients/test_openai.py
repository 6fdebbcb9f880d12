"""The `openai` client: completions, typed errors, trying again, giving up; the rest of it is tested
beside the endpoints."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest
from tests.server.conftest import Server, serving

from canvaslm import LM
from canvaslm.engine.serving.engine import Engine
from canvaslm.engine.serving.limits import Limits
from canvaslm.server.app import create_app
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings

MODEL = "canvaslm-pocket"
KEY = "a-key-of-this-test"
DRAW: Any = [{"role": "user", "content": "Draw: a small red circle in the center."}]
LONG: Any = {"model": MODEL, "messages": DRAW, "max_tokens": 4096, "temperature": 2}
ENDLESS: Any = {"bad_words": ["</svg>", "svg"], "max_steps": 500}


def connect(server: Server, **options: Any) -> openai.OpenAI:
    options = {"api_key": KEY, "max_retries": 0, "timeout": 60} | options
    return openai.OpenAI(base_url=f"{server.base_url}/v1", **options)


@contextmanager
def started(lm: LM, *, keys: tuple[str, ...] = (), per_client: int = 64) -> Iterator[Server]:
    """A server of its own, with these settings."""
    with Engine(lm, limits=Limits(per_client=per_client)) as engine:
        service = Service(settings=Settings(keys=keys), engine=engine)
        with serving(create_app(service)) as server:
            yield server


@pytest.fixture
def talk(server: Server) -> Iterator[openai.OpenAI]:
    with connect(server) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(lm: LM) -> Iterator[Server]:
    """A server with a key, where a client may have one request at a time."""
    with started(lm, keys=(KEY,), per_client=1) as server:
        yield server


def until(true: Callable[[], bool], *, seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not true() and time.monotonic() < ends:
        time.sleep(0.02)
    assert true()


def test_completions_have_n_choices_and_log_probabilities(talk: openai.OpenAI) -> None:
    asked: Any = {"model": MODEL, "prompt": "x = ", "max_tokens": 4, "seed": 1, "logprobs": 2}
    got = talk.completions.create(**asked, n=2, extra_body={"max_steps": 4})
    again = talk.completions.create(**{**asked, "seed": 2}, extra_body={"max_steps": 4})
    assert [choice.index for choice in got.choices] == [0, 1]
    assert got.choices[1].text == again.choices[0].text
    for choice in got.choices:
        found = choice.logprobs
        assert found is not None
        assert found.tokens is not None
        assert "".join(found.tokens).removesuffix("<eos>") == choice.text
        assert all(logprob <= 0 for logprob in found.token_logprobs or ())
        assert all(len(top) in (2, 3) for top in found.top_logprobs or ())


def test_a_suffix_gives_the_gap_streamed_or_not(talk: openai.OpenAI) -> None:
    asked: Any = {
        "model": MODEL,
        "prompt": "def add(a, b):\n    return ",
        "suffix": "\n",
        "max_tokens": 3,
        "seed": 1,
        "stop": ["\n\n"],
    }
    whole = talk.completions.create(**asked)
    pieces = talk.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks = list(pieces)
    text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].text
    assert whole.usage is not None
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_decisions_are_typed(talk: openai.OpenAI) -> None:
    questions: Any = [{"type": "predicate", "instructions": "Is there a red circle?", "name": "r"}]
    found = talk.decisions.create(model=MODEL, input="A red circle.", questions=questions)
    again = talk.with_options(max_retries=1).decisions.create(
        model=MODEL, input="A red circle.", questions=questions
    )
    (answer,) = found.answers
    assert answer.type == "predicate"
    assert 0 <= answer.probability <= 1
    assert again.answers == found.answers
    with pytest.raises(openai.BadRequestError) as caught:
        talk.decisions.create(model=MODEL, input="a", questions=[])
    assert caught.value.param == "questions"


def test_models_are_listed_and_found(talk: openai.OpenAI) -> None:
    assert [model.id for model in talk.models.list()] == [MODEL]
    assert talk.models.retrieve(MODEL).owned_by == "canvaslm"
    with pytest.raises(openai.NotFoundError) as caught:
        talk.models.retrieve("gpt-6")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("wrong", "param", "code"),
    [
        ({"temperature": -1}, "temperature", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "missing_parameter"),
        ({"extra_body": {"nix": 1}}, "nix", "unknown_parameter"),
        ({"functions": [{"name": "f"}]}, "functions", "invalid_value"),
        ({"logit_bias": {"red": 1}}, "logit_bias", "invalid_value"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_request_names_its_parameter(
    talk: openai.OpenAI, wrong: Any, param: str, code: str | None, stream: bool
) -> None:
    asked: Any = {"model": MODEL, "messages": DRAW, "stream": stream, **wrong}
    with pytest.raises(openai.BadRequestError) as caught:
        talk.chat.completions.create(**asked)
    assert (caught.value.param or "").startswith(param)
    assert (caught.value.type, caught.value.code) == ("invalid_request_error", code)
    assert caught.value.request_id


def test_embeddings_are_refused_clearly(talk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="decisions"):
        talk.embeddings.create(model=MODEL, input="a")


def test_an_unknown_key_is_an_authentication_error(guarded: Server) -> None:
    with connect(guarded, api_key="another-key") as stranger:
        with pytest.raises(openai.AuthenticationError) as caught:
            stranger.chat.completions.create(model=MODEL, messages=DRAW, max_tokens=4)
        assert caught.value.code == "invalid_api_key"
        assert "another-key" not in str(caught.value)
    with connect(guarded) as known:
        assert known.chat.completions.create(model=MODEL, messages=DRAW, max_tokens=4).choices


def test_what_is_too_much_is_refused(guarded: Server) -> None:
    with connect(guarded) as busy:
        stream = busy.chat.completions.create(**LONG, stream=True, extra_body=ENDLESS)
        with pytest.raises(openai.RateLimitError) as caught:
            busy.chat.completions.create(model=MODEL, messages=DRAW)
        stream.close()
    assert caught.value.code == "overloaded"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    until(lambda: guarded.app.state.service.engine.stats.active == 0)


def test_a_client_tries_again_when_it_is_told_to(guarded: Server) -> None:
    answers: list[tuple[float, httpx.Response]] = []
    with connect(guarded) as busy:
        stream = busy.chat.completions.create(**LONG, stream=True, extra_body=ENDLESS)

        def note(answer: httpx.Response) -> None:
            answers.append((time.monotonic(), answer))
            stream.close()

        own = httpx.Client(event_hooks={"response": [note]})
        with connect(guarded, max_retries=3, http_client=own) as patient:
            got = patient.chat.completions.create(model=MODEL, messages=DRAW, max_tokens=4)
    assert got.choices
    (refused_at, refused), (served_at, served) = answers
    assert (refused.status_code, served.status_code) == (429, 200)
    assert served_at - refused_at >= int(refused.headers["retry-after"])


def test_a_client_that_gives_up_cancels_its_request(server: Server, service: Service) -> None:
    before = service.engine.stats.cancelled
    with connect(server, timeout=0.3) as hasty, pytest.raises(openai.APITimeoutError):
        hasty.chat.completions.create(**LONG, extra_body=ENDLESS)
    until(lambda: service.engine.stats.cancelled == before + 1)
    until(lambda: service.engine.stats.active == 0)


@pytest.mark.parametrize("of", ["chat", "responses", "completions"])
def test_closing_a_stream_cancels_its_request(
    talk: openai.OpenAI, service: Service, of: str
) -> None:
    before = service.engine.stats.cancelled
    extra = {**ENDLESS, "canvas_events": True}
    more: Any = {"model": MODEL, "temperature": 2, "stream": True, "extra_body": extra}
    streams: dict[str, Callable[[], Any]] = {
        "chat": lambda: talk.chat.completions.create(messages=DRAW, max_tokens=4096, **more),
        "completions": lambda: talk.completions.create(prompt="a", max_tokens=4096, **more),
        "responses": lambda: talk.responses.create(input="a", max_output_tokens=4096, **more),
    }
    stream = streams[of]()
    next(iter(stream))
    stream.close()
    until(lambda: service.engine.stats.cancelled == before + 1)
    until(lambda: service.engine.stats.active == 0)


def test_the_asynchronous_client_asks_for_many_at_once(server: Server, lm: LM) -> None:
    async def ask_all() -> list[str | None]:
        url = f"{server.base_url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
            asked: Any = {"model": MODEL, "messages": DRAW, "max_tokens": 64}
            created = [client.chat.completions.create(**asked, seed=seed % 3) for seed in range(9)]
            return [got.choices[0].message.content for got in await asyncio.gather(*created)]

    texts = asyncio.run(ask_all())
    assert texts[:3] == texts[3:6] == texts[6:]
