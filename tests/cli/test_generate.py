"""`canvaslm generate`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Run

import canvaslm

FEW = ("--max-tokens", 12, "--max-steps", 3, "--seed", 5)


def test_json_is_one_document_with_what_the_answer_took(run: Run, checkpoint: Path) -> None:
    done = run("generate", "hello", "--model", checkpoint, "--json", *FEW)
    assert done.code == 0
    document = json.loads(done.out)
    assert set(document) == {"text", "token_ids", "finish_reason", "stop", "usage", "seed"}
    assert set(document["usage"]) == {
        "prompt_tokens",
        "cached_tokens",
        "completion_tokens",
        "canvases",
        "steps",
        "redrafts",
        "tokens_per_forward",
        "seconds",
    }
    assert len(document["token_ids"]) == document["usage"]["completion_tokens"] <= 12
    assert document["finish_reason"] in ("stop", "length")
    assert document["seed"] == 5


@pytest.mark.parametrize("mode", ["diffusion", "ar"])
def test_says_what_the_library_says(run: Run, checkpoint: Path, mode: str) -> None:
    params = canvaslm.Params(max_tokens=12, seed=5)
    expected = canvaslm.load(checkpoint).generate("hello", params=params, mode=mode)
    options = ("--max-tokens", 12, "--seed", 5, "--mode", mode)
    done = run("generate", "hello", "--model", checkpoint, *options)
    assert done.out == expected.text + "\n"


def test_parameters_reach_the_library(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    common = ("generate", "hello", "--model", checkpoint, "--json", *FEW)
    rules = ("--bad-word", "e", "--logit-bias", "x=2", "--logit-bias", "50=-1.5", "--top-k", 9)
    penalties = ("--presence-penalty", 0.5, "--min-p", 0.01, "--temperature", 0.9, "--stop", "qq")
    asked = ("--n", 2, "--logprobs", "--top-logprobs", 1, "--prompt-logprobs")
    document = json.loads(run(*common, *rules, *penalties, *asked).out)
    params = canvaslm.Params(
        max_tokens=12,
        max_steps=3,
        seed=5,
        bad_words=["e"],
        logit_bias={"x": 2.0, 50: -1.5},
        top_k=9,
        presence_penalty=0.5,
        min_p=0.01,
        temperature=0.9,
        stop="qq",
        n=2,
    )
    expected = canvaslm.load(checkpoint).generate("hello", params=params)
    texts = [document["text"], *(other["text"] for other in document["others"])]
    assert texts == [choice.text for choice in expected.choices]
    assert document["logprobs_kind"] == "causal"
    assert [e["token_id"] for e in document["logprobs"]] == document["token_ids"]
    assert set(document["logprobs"][0]["top"][0]) == {"token_id", "text", "logprob"}
    assert document["prompt_logprobs"][0] is None


def test_an_answer_may_have_to_match(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"enum": ["yes", "no"]}')
    common = ("generate", "hello", "--model", checkpoint, *FEW)
    assert run(*common, "--schema", schema).out in ('"yes"\n', '"no"\n')
    assert run(*common, "--choice", "a b", "--choice", "c").out in ("a b\n", "c\n")
    assert run(*common, "--regex", "[0-9]{3}").out.strip().isdigit()


def test_several_answers_are_printed_one_after_the_other(run: Run, checkpoint: Path) -> None:
    document = json.loads(
        run("generate", "hi", "--model", checkpoint, *FEW, "--n", 2, "--json").out
    )
    texts = [document["text"], document["others"][0]["text"]]
    done = run("generate", "hi", "--model", checkpoint, *FEW, "--n", 2)
    assert done.out == "".join(text + "\n" for text in texts)


def test_a_prompt_may_come_from_standard_input(run: Run, checkpoint: Path) -> None:
    given = run("generate", "hello", "--model", checkpoint, *FEW)
    piped = run("generate", "--model", checkpoint, *FEW, stdin="hello\n")
    assert piped.out == given.out


def test_without_a_seed_one_is_drawn_and_reported(run: Run, checkpoint: Path) -> None:
    common = ("--model", checkpoint, "--json", "--max-tokens", 12, "--max-steps", 3)
    first = json.loads(run("generate", "hello", *common).out)
    again = json.loads(run("generate", "hello", *common, "--seed", first["seed"]).out)
    assert again["text"] == first["text"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--max-tokens", "-3"), "max_tokens"),
        (("--seed", "abc"), "--seed"),
        (("--seed", "-1"), "seed"),
        (("--mode", "sideways"), "--mode"),
        (("--max-steps", "0"), "max_steps"),
        (("--temperature", "-0.5"), "temperature"),
        (("--mode", "ar", "--top-p", "0.5"), "set temperature"),
        (("--stop", ""), "stop[0] must be a text"),
        (("--logit-bias", "x"), "TOKEN=VALUE"),
        (("--logit-bias", "x=y"), "TOKEN=VALUE"),
        (("--logit-bias", "4000=1"), "out of range"),
        (("--bad-word", ""), "bad_words[0]"),
        (("--n", "0"), "n must be"),
        (("--n", "2", "--watch"), "--watch"),
        (("--logprobs",), "--json"),
        (("--json", "--top-logprobs", "2"), "top_logprobs"),
        (("--regex", "a", "--choice", "b"), "exclude each other"),
        (("--regex", "("), "cannot"),
        (("--schema", "nowhere.json"), "nowhere.json"),
        (("--effort", "lazy"), "--effort"),
        (("--mode", "ar", "--max-steps", "3"), "max_steps"),
        (("--mode", "ar", "--watch"), "--watch"),
        (("--watch",), "terminal"),
        (("--max-tokens", "2000"), "context"),
        (("--max-tokenz", "3"), "--max-tokenz"),
        (("--device", "abacus"), "abacus"),
        (("--dtype", "int3"), "int3"),
    ],
)
def test_what_cannot_be_served_is_refused_with_a_reason(
    run: Run, checkpoint: Path, options: tuple[str, ...], reason: str
) -> None:
    done = run("generate", "hello", "--model", checkpoint, *options)
    assert done.code == 2
    assert done.out == ""
    assert reason in done.err
    assert "Traceback" not in done.err


def test_an_empty_prompt_is_refused(run: Run, checkpoint: Path) -> None:
    done = run("generate", "--model", checkpoint, stdin="\n")
    assert (done.code, done.out) == (2, "")
    assert "empty" in done.err


def test_a_missing_folder_is_refused(run: Run, tmp_path: Path) -> None:
    done = run("generate", "hello", "--model", tmp_path / "nowhere")
    assert (done.code, done.out) == (2, "")
    assert "nowhere" in done.err


def test_a_folder_that_is_no_checkpoint_is_refused(run: Run, tmp_path: Path) -> None:
    done = run("generate", "hello", "--model", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "config.json" in done.err


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def double_heads(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_attention_heads"] *= 2
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("damage", "reason"), [(cut_weights, "truncated"), (double_heads, "config.json asks for")]
)
def test_a_damaged_checkpoint_is_refused(
    run: Run, checkpoint: Path, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(shutil.copytree(checkpoint, tmp_path / "damaged"))
    done = run("generate", "hello", "--model", tmp_path / "damaged")
    assert (done.code, done.out) == (2, "")
    assert reason in done.err


def test_a_prompt_longer_than_the_context_is_refused(run: Run, checkpoint: Path) -> None:
    done = run("generate", "--model", checkpoint, stdin="x" * 3000)
    assert (done.code, done.out) == (2, "")
    assert "shorten the prompt" in done.err


def test_a_checkpoint_without_tokenizer_says_so(run: Run, tmp_path: Path) -> None:
    run("new", tmp_path / "new", "--layers", 1, "--scale", 0.1)
    done = run("generate", "hello", "--model", tmp_path / "new")
    assert (done.code, done.out) == (2, "")
    assert "tokenizer.json" in done.err
