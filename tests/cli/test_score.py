"""`canvaslm score`."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run

import canvaslm

FEW = ("--elbo", "--samples", 1)


def test_json_says_what_the_library_says(run: Run, checkpoint: Path) -> None:
    done = run("score", "--model", checkpoint, "--json", "--top", 2, stdin="a circle\n")
    assert done.code == 0
    document = json.loads(done.out)
    expected = canvaslm.load(checkpoint).score("a circle\n", top=2)
    assert document["kind"] == "causal"
    assert document["sum"] == expected.sum
    assert document["perplexity"] == expected.perplexity
    assert document["bytes"] == 9
    assert document["bits_per_byte"] == expected.bits_per_byte
    assert document["elbo"] is None
    assert "".join(token["text"] for token in document["tokens"]) == "a circle\n"
    for told, token in zip(document["tokens"], expected.tokens, strict=True):
        assert (told["token_id"], told["logprob"]) == (token.token_id, token.logprob)
        assert [(t["token_id"], t["logprob"]) for t in told["top"]] == list(token.top)


def test_a_continuation_and_its_bound(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("a circle\n")
    options = ("--model", checkpoint, "--continuation", "a square", "--json", *FEW, "--seed", 3)
    document = json.loads(run("score", file, *options).out)
    lm = canvaslm.load(checkpoint)
    assert document["sum"] == lm.score("a circle", continuation="a square").sum
    bound = lm.elbo("a circle", "a square", samples=1, seed=3)
    assert document["elbo"]["mean"] == bound.mean
    assert document["elbo"]["bits_per_token"] == bound.bits_per_token


def test_a_person_sees_the_text_and_totals(run: Run, checkpoint: Path) -> None:
    options = ("--model", checkpoint, "--continuation", "a \x1b[31mcirclé", *FEW)
    done = run("score", *options, stdin="hello")
    assert done.code == 0
    assert "a ·[31mcirclé" in done.out
    assert "\x1b" not in done.out
    for part in ("tokens", "nats", "perplexity", "bits a byte", "at least"):
        assert part in done.out


@pytest.mark.parametrize(
    ("options", "stdin", "reason"),
    [
        ((), "", "empty"),
        (("--continuation", ""), "hello", "continuation is empty"),
        (("--elbo",), "hello", "--continuation"),
        (("--samples", "4"), "hello", "without --elbo"),
        (("--top", "3"), "hello", "without --json"),
        (("--top", "301", "--json"), "hello", "top must be"),
        (("--continuation", "a", "--elbo", "--samples", "0"), "hello", "samples"),
        (("--continuation", "a", "--elbo", "--seed", "-1"), "hello", "seed"),
        (("nowhere.txt",), "", "nowhere.txt cannot be read"),
        ((), "x" * 3000, "context"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_a_reason(
    run: Run, checkpoint: Path, options: tuple[str, ...], stdin: str, reason: str
) -> None:
    done = run("score", *options, "--model", checkpoint, stdin=stdin)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
    assert "Traceback" not in done.err


def test_a_file_that_is_no_text_is_refused(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "noise.bin"
    file.write_bytes(b"\xff\xfe\xff")
    done = run("score", file, "--model", checkpoint)
    assert (done.code, done.out) == (2, "")
    assert "is not text" in done.err
