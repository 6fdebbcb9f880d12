"""A checkpoint small enough for every test, and the command line to use it with."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from canvaslm.cli.app import main
from canvaslm.engine.create import new_checkpoint
from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig
from canvaslm.training.vocabulary import tokenizer_files, train_tokenizer

VOCABULARY = 300


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with random weights, a tokenizer and a chat template; its canvas is 128 long."""
    layer = LayerConfig(heads=2, kv_heads=1, head_dim=8, window=None, rope=RopeConfig(theta=1e4))
    config = ModelConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=16,
        layers=(layer,),
        experts=ExpertsConfig(count=2, top_k=1, intermediate_size=8),
        canvas_length=128,
        max_positions=1024,
        eos_ids=(1,),
    )
    tokenizer = train_tokenizer(["a square and a circle", "def f(x):"], vocab_size=VOCABULARY)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    return new_checkpoint(config, folder, extra_files=tokenizer_files(tokenizer))


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("info", folder, stdin="...")`: the whole command line, in this process."""

    def command(*args: object, stdin: str = "") -> Outcome:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        captured = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return command
