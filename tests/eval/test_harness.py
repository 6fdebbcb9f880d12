"""What lm-eval asks, and lm-eval itself where it is installed."""

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest

from canvaslm import LM, Params
from canvaslm.errors import ParameterError
from canvaslm.eval.harness import Requests, harness

ROOT = Path(__file__).resolve().parent.parent.parent
CLIENTS = os.environ.get("CANVASLM_CLIENTS", "")


@pytest.fixture(scope="module")
def requests(babble: LM) -> Requests:
    return Requests(lm=babble, seed=3, max_tokens=16)


def test_a_likelihood_is_the_score_of_what_follows(babble: LM, requests: Requests) -> None:
    found, greedy = requests.likelihood("a square ", "and a circle")
    bos = babble.tokenizer.bos_id or 0
    ids = [bos, *babble.tokenizer.encode("a square")]
    said = babble.tokenizer.encode(" and a circle")
    assert found == pytest.approx(babble.score(ids, continuation=said).sum)
    assert not greedy
    assert requests.likelihood("a square", "") == (0.0, True)


def test_what_the_model_would_say_is_greedy(babble: LM, requests: Requests) -> None:
    texts = [babble.tokenizer.decode([id]) for id in range(20, babble.config.vocab_size)]
    greedy = [text for text in texts if len(text) == 1 and requests.likelihood("a", text)[1]]
    likeliest = babble.causal_logits([babble.tokenizer.bos_id or 0, *babble.tokenizer.encode("a")])
    best = babble.tokenizer.decode([int(likeliest[0, -1].argmax())])
    assert set(greedy) <= {best}


def test_a_context_that_is_too_long_loses_its_start(babble: LM, requests: Requests) -> None:
    long = "circle and square, " * 60
    room = babble.config.max_positions
    said = babble.tokenizer.encode(" a")
    kept = babble.tokenizer.encode(long.rstrip())[-(room - len(said) - 1) :]
    assert len(kept) == room - len(said) - 1
    assert requests.likelihood(long.rstrip(), " a")[0] < 0
    with pytest.raises(ParameterError, match="does not fit"):
        requests.likelihood("a", long)
    assert isinstance(requests.generate(long, {"max_gen_toks": 8}), str)


def test_rolling_is_the_score_of_a_text_and_counts_each_token_once(
    babble: LM, requests: Requests
) -> None:
    assert requests.rolling("a circle") == pytest.approx(babble.score("a circle").sum)
    assert requests.rolling("") == 0
    text = "a square and a circle " * 90
    ids = [babble.tokenizer.bos_id or 0, *babble.tokenizer.encode(text, special=False)]
    room = babble.config.max_positions
    assert len(ids) > 2 * room
    total, place = babble.score(ids[:1], continuation=ids[1:room]).sum, room
    while place < len(ids):
        end = min(len(ids), place + room // 2)
        total += babble.score(ids[end - room : place], continuation=ids[place:end]).sum
        place = end
    assert requests.rolling(text) == pytest.approx(total)


@pytest.mark.parametrize("mode", ["diffusion", "ar"])
def test_a_generation_is_the_answer_up_to_a_stop(babble: LM, mode: str) -> None:
    requests = Requests(lm=babble, mode=mode, seed=3)  # type: ignore[arg-type]
    options = {"until": ["a"], "max_gen_toks": 12, "temperature": 0.0, "do_sample": False}
    ids = [babble.tokenizer.bos_id or 0, *babble.tokenizer.encode("Draw:")]
    params = Params(max_tokens=12, seed=3, temperature=0, stop=["a"])
    expected = babble.generate(ids, params=params, mode=mode)  # type: ignore[arg-type]
    assert requests.generate("Draw:", options) == expected.text
    assert "a" not in requests.generate("Draw:", options)


def test_options_are_read_as_lm_eval_means_them(requests: Requests) -> None:
    assert requests.params({}) == Params(max_tokens=16, seed=3, temperature=0)
    warm = requests.params({"temperature": 0.5, "top_p": 0.9, "until": "x"})
    assert warm == Params(max_tokens=16, seed=3, temperature=0.5, top_p=0.9, stop=["x"])
    cold = requests.params({"do_sample": False, "temperature": 0.5, "top_p": 0.9})
    assert cold == requests.params({})
    with pytest.raises(ParameterError, match="num_beams would have no effect"):
        requests.generate("a", {"num_beams": 4})


def test_a_template_is_rendered_once(babble: LM, requests: Requests) -> None:
    said = requests.render([{"role": "user", "content": "hi"}])
    assert babble.tokenizer.encode(said) == babble.tokenizer.render(
        [{"role": "user", "content": "hi"}]
    )
    with pytest.raises(ParameterError, match="open"):
        requests.render([{"role": "user", "content": "hi"}], answer=False)


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is not None, reason="lm-eval is here")
def test_without_lm_eval_it_is_named(babble: LM) -> None:
    with pytest.raises(ParameterError, match="pip install lm-eval"):
        harness(babble)


SCRIPT = """
import json, sys, canvaslm, lm_eval
from canvaslm.eval.harness import harness
from lm_eval.tasks import TaskManager
model = harness(canvaslm.load(), seed=1)
manager = TaskManager(include_path="tests/clients/tasks", include_defaults=False)
found = {}
for task, chat in (("shapes", True), ("shapes_scored", False)):
    ran = lm_eval.simple_evaluate(
        model=model, tasks=[task], task_manager=manager, apply_chat_template=chat, bootstrap_iters=0
    )
    found[task] = ran["results"][task]
found["rolling"] = model.requests.rolling("a circle")
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(not CLIENTS, reason="CANVASLM_CLIENTS names no environment: `make clients`")
def test_lm_eval_runs_generation_and_scoring(tmp_path: Path) -> None:
    own = {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT / "src"),
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [str(Path(CLIENTS).resolve() / "bin" / "python"), "-c", SCRIPT],
        cwd=ROOT,
        env=own,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["shapes"]["contains,none"] == 1
    assert 0 <= found["shapes_scored"]["acc,none"] <= 1
    assert found["rolling"] < 0
