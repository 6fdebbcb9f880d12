"""Adapters over HTTP: each goes by its own name, and gives what it gives alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.adapter.conftest import trained
from tests.server.conftest import serving

import canvaslm
from canvaslm import LM, Params
from canvaslm.adapter.adapter import Adapter
from canvaslm.engine.serving.engine import Engine
from canvaslm.errors import ParameterError
from canvaslm.server.app import create_app
from canvaslm.server.errors import ApiError
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings

IDS = {"": "canvaslm-pocket", "one": "canvaslm-pocket:one", "two": "canvaslm-pocket:two"}
PROMPT = "Draw: a large red circle at the top left."


@pytest.fixture(scope="module")
def lm() -> LM:
    return canvaslm.load()


@pytest.fixture(scope="module")
def adapters(lm: LM) -> dict[str, Adapter]:
    return {name: trained(lm.config, seed=n, size=1.0) for n, name in enumerate(("one", "two"))}


@pytest.fixture(scope="module")
def alone(lm: LM, adapters: dict[str, Adapter]) -> dict[str, LM]:
    """Each without a server; made before the engine has the network to itself."""
    return {"": lm} | {name: canvaslm.load().adapted(a) for name, a in adapters.items()}


@pytest.fixture(scope="module")
def client(lm: LM, adapters: dict[str, Adapter], alone: dict[str, LM]) -> Iterator[httpx.Client]:
    settings = Settings(aliases=("pocket",), adapters=tuple(adapters))
    with (
        Engine(canvaslm.load(), adapters=adapters) as engine,
        serving(create_app(Service(settings=settings, engine=engine))) as server,
        server.client() as client,
    ):
        yield client


def ask(client: httpx.Client, path: str, **body: object) -> dict[str, object]:
    got = client.post(path, json=body)
    assert got.status_code == 200, got.text
    said: dict[str, object] = got.json()
    return said


def test_each_gives_what_it_gives_alone(client: httpx.Client, alone: dict[str, LM]) -> None:
    params = Params(max_tokens=40, seed=5, max_steps=4)
    wanted = {name: lm.generate(PROMPT, params=params).text for name, lm in alone.items()}
    assert len(set(wanted.values())) == 3
    asked = ["", "one", "two"] * 2
    messages = [{"role": "user", "content": PROMPT}]

    def chat(name: str) -> dict[str, object]:
        body = {"messages": messages, "model": name, "max_tokens": 40, "seed": 5, "max_steps": 4}
        return ask(client, "/v1/chat/completions", **body)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(chat, asked))
    for name, answer in zip(asked, answers, strict=True):
        assert answer["model"] == IDS[name]
        assert answer["choices"][0]["message"]["content"] == wanted[name]  # type: ignore[index]
    assert len({answer["system_fingerprint"] for answer in answers}) == 3


def test_every_endpoint_has_the_choice(client: httpx.Client) -> None:
    """The same question, asked of each model: it says which one it was, and answers differ."""
    question = {"type": "noul", "instructions": "Is it red?"}
    bodies: dict[str, dict[str, object]] = {
        "/v1/completions": {"prompt": PROMPT, "max_tokens": 0, "echo": True, "logprobs": 1},
        "/v1/responses": {"input": PROMPT, "max_output_tokens": 30, "seed": 5, "max_steps": 4},
        "/v1/fim/completions": {
            "prompt": "a red ",
            "suffix": " at the top",
            "seed": 5,
            "max_tokens": 6,
        },
        "/infill": {
            "input_prefix": "a red ",
            "input_suffix": " at the top",
            "seed": 5,
            "n_predict": 6,
        },
        "/v1/edits": {"text": PROMPT, "span": [6, 20], "seed": 5, "strength": 1, "max_steps": 4},
        "/v1/systemone": {"state": PROMPT, "questions": {"red": question}},
    }
    for path, body in bodies.items():
        said = {}
        for name, id in IDS.items():
            answer = ask(client, path, model=name, **body)
            assert answer["model"] == id, path
            varies = ("id", "created", "created_at", "model", "system_fingerprint", "timings")
            said[name] = str({k: v for k, v in answer.items() if k not in varies})
        assert len(set(said.values())) == 3, path


def test_models_lists_them(client: httpx.Client) -> None:
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == list(IDS.values())
    for name in ("one", "canvaslm-pocket:one", "pocket:one", "default:one"):
        assert client.get(f"/v1/models/{name}").json()["id"] == "canvaslm-pocket:one"


@pytest.mark.parametrize("name", ["three", "canvaslm-pocket:three", "other:one", "one:", "one:two"])
def test_another_name_is_not_found(client: httpx.Client, name: str) -> None:
    body = {"model": name, "messages": [{"role": "user", "content": "x"}]}
    got = client.post("/v1/chat/completions", json=body)
    assert (got.status_code, got.json()["error"]["code"]) == (404, "model_not_found")
    assert "'canvaslm-pocket:two'" in got.json()["error"]["message"]


def test_many_are_not_all_told() -> None:
    named = Service(settings=Settings(adapters=tuple(f"a{n}" for n in range(500))))
    with pytest.raises(ApiError, match="see /v1/models") as refused:
        named.check_model("b")
    assert len(refused.value.message) < 300


@pytest.mark.parametrize("names", [("",), ("a:b",), ("a\n",), ("x", "x"), ("default",), ("mine",)])
def test_names_that_could_be_mistaken_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ParameterError, match="name"):
        Settings(aliases=("mine",), adapters=names)
