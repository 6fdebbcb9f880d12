"""LiteLLM and lm-evaluation-harness, each as itself, from an environment of their own.

`make clients` makes it and runs these; CANVASLM_CLIENTS names its folder.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import Server, serving
from tests.server.test_openai_chat import babble

from canvaslm import LM
from canvaslm.engine.loading import POCKET
from canvaslm.engine.serving.engine import Engine
from canvaslm.server.app import create_app
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CLIENTS = os.environ.get("CANVASLM_CLIENTS", "")
MODEL = "canvaslm-pocket"
CHAT = ["--model", "local-chat-completions", "--apply_chat_template", "--tasks", "shapes"]
SCORE = ["--model", "local-completions", "--tasks", "shapes_scored", "--batch_size", "4"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CLIENTS, reason="CANVASLM_CLIENTS names no environment: `make clients`"),
]


@pytest.fixture(scope="module")
def noise() -> Iterator[Server]:
    """A model with random weights that knows tools."""
    lm: LM = babble()
    with Engine(lm) as engine:
        app = create_app(Service(settings=Settings(name="noise"), engine=engine))
        with serving(app) as server:
            yield server


def run(program: str, *arguments: str, folder: Path) -> str:
    """Run it there, without the network."""
    own = {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(folder / "hf"),
        "HOME": str(folder),
        "OPENAI_API_KEY": "none",
        "OMP_NUM_THREADS": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [str(Path(CLIENTS).resolve() / "bin" / program), *arguments],
        cwd=ROOT,
        env=own,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def call(what: str, server: Server, model: str, folder: Path) -> dict[str, Any]:
    """What tests/clients/calls.py finds."""
    script, base = str(HERE / "calls.py"), f"{server.base_url}/v1"
    found: dict[str, Any] = json.loads(
        run("python", script, what, base, model, folder=folder).splitlines()[-1]
    )
    return found


def evaluate(server: Server, what: list[str], folder: Path, **model: str) -> list[dict[str, Any]]:
    """What lm-eval finds of each case."""
    path = "chat/completions" if what is CHAT else "completions"
    model = {"model": MODEL, "base_url": f"{server.base_url}/v1/{path}", "seed": "1", **model}
    arguments = ",".join(f"{name}={value}" for name, value in model.items())
    out = ["--include_path", str(HERE / "tasks"), "--log_samples", "--output_path", str(folder)]
    run("lm-eval", "run", *what, "--model_args", arguments, *out, folder=folder)
    (samples,) = folder.rglob("samples_*.jsonl")
    cases = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    return sorted(cases, key=lambda case: int(case["doc_id"]))


def test_litellm_chats_streams_fills_and_tells_errors_apart(server: Server, tmp_path: Path) -> None:
    found = call("plain", server, MODEL, tmp_path)
    assert found["content"].startswith("<svg")
    assert found["streamed"] == found["content"]
    assert found["streamed_usage"] == found["usage"] > 0
    assert isinstance(found["gap"], str)
    assert isinstance(found["gap_of_inception"], str)
    assert (found["wrong"], found["missing"]) == ("BadRequestError", "NotFoundError")


def test_litellm_calls_tools(noise: Server, tmp_path: Path) -> None:
    found = call("tools", noise, "noise", tmp_path)
    assert found["name"] == "weather"
    assert set(json.loads(found["arguments"])) == {"city", "days"}
    assert json.loads(found["streamed"]) == json.loads(found["arguments"])


def test_a_harness_gets_the_same_answers_again_one_by_one_or_at_once(
    server: Server, tmp_path: Path
) -> None:
    runs = [
        evaluate(server, CHAT, tmp_path / at_once, tokenizer_backend="none", num_concurrent=at_once)
        for at_once in ("1", "3")
    ]
    first, second = ([case["resps"] for case in cases] for cases in runs)
    assert first == second
    assert all(case["contains"] == 1 for case in runs[0])


def test_a_harness_scores_given_answers(server: Server, lm: LM, tmp_path: Path) -> None:
    cases = evaluate(server, SCORE, tmp_path, tokenizer=str(POCKET))
    assert len(cases) == 3
    for case in cases:
        for asked, found in zip(case["arguments"].values(), case["resps"], strict=True):
            whole = asked["arg_0"] + asked["arg_1"]
            ids = lm.tokenizer.encode(whole)
            scores = lm.score(ids).tokens[-scored(lm, asked) :]
            own = sum(one.logprob for one in scores if one.logprob is not None)
            assert float(found[0][0]) == pytest.approx(own, abs=1e-2)


def scored(lm: LM, asked: dict[str, str]) -> int:
    """How many tokens the harness counts as the answer: what follows the context's tokens."""
    whole = lm.tokenizer.encode(asked["arg_0"] + asked["arg_1"])
    return len(whole) - len(lm.tokenizer.encode(asked["arg_0"]))
