"""`canvaslm chat`."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cli.conftest import Run

import canvaslm
from canvaslm.cli.chat import Conversation
from canvaslm.engine.lm import LM
from canvaslm.engine.result import Result, Usage
from canvaslm.errors import ParameterError
from canvaslm.text.spans import Answer


class Listener:
    """Stands in for a model: remembers what it was asked, and answers with its number."""

    def __init__(self) -> None:
        self.asked: list[list[canvaslm.Message]] = []

    def generate(self, messages: Sequence[canvaslm.Message], *, params: canvaslm.Params) -> Result:
        self.asked.append(list(messages))
        usage = Usage(prompt_tokens=1, completion_tokens=1, canvases=1, steps=1, seconds=0.5)
        text = f"answer {len(self.asked)}"
        return Result(
            token_ids=(1,), finish_reason="stop", usage=usage, seed=3, spans=[Answer(text)]
        )


@pytest.fixture
def model() -> Listener:
    return Listener()


@pytest.fixture
def talk(model: Listener) -> Conversation:
    first = [{"role": "system", "content": "be brief"}]
    lm: LM = model  # type: ignore[assignment]
    return Conversation(lm=lm, params=canvaslm.Params(seed=3), first=list(first))


def test_a_turn_carries_what_was_said_before(talk: Conversation, model: Listener) -> None:
    talk.take("one")
    talk.take("two")
    assert [message["role"] for message in model.asked[1]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert [message["content"] for message in model.asked[1]] == [
        "be brief",
        "one",
        "answer 1",
        "two",
    ]


def test_clear_forgets_the_turns_and_keeps_the_system(talk: Conversation, model: Listener) -> None:
    talk.take("one")
    talk.take("/clear")
    talk.take("two")
    assert [message["content"] for message in model.asked[1]] == ["be brief", "two"]


def test_commands_change_the_parameters(talk: Conversation) -> None:
    talk.take("/seed 9")
    talk.take("/tokens 40")
    assert talk.params == canvaslm.Params(seed=9, max_tokens=40)
    talk.take("/seed")
    assert talk.params.seed is None


@pytest.mark.parametrize("line", ["/sing", "/seed x", "/tokens", "/tokens -1", "/"])
def test_a_wrong_command_is_refused_and_changes_nothing(talk: Conversation, line: str) -> None:
    before = talk.params
    with pytest.raises(ParameterError):
        talk.take(line)
    assert talk.params == before


def test_a_refused_turn_does_not_end_the_conversation(run: Run, checkpoint: Path) -> None:
    lines = "hello\n" + "x" * 3000 + "\n/nonsense\n\nhello\n/usage\n/quit\nnever\n"
    done = run("chat", "--model", checkpoint, "--seed", 1, "--max-tokens", 8, stdin=lines)
    assert done.code == 0
    assert "context" in done.err
    assert "/nonsense" in done.err
    assert "in 1 canvases and" in done.err


def test_piped_turns_are_answered_in_plain_text(run: Run, checkpoint: Path) -> None:
    lm = canvaslm.load(checkpoint)
    params = canvaslm.Params(seed=1, max_tokens=8)
    expected = lm.generate([{"role": "user", "content": "hello"}], params=params).text
    options = ("--model", checkpoint, "--seed", 1, "--max-tokens", 8)
    done = run("chat", *options, stdin="hello\n")
    assert (done.code, done.out) == (0, expected + "\n")
