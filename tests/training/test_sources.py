"""Files are read line by line, and what is no example is refused by file and line."""

import json
import random
from pathlib import Path

import pytest
from tests.training.conftest import tiny_recipe

from canvaslm.errors import TaskError, TrainingError
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import Feed
from canvaslm.training.data.documents import Documents
from canvaslm.training.data.lines import Lines
from canvaslm.training.data.passage import Passage, Source
from canvaslm.training.data.sources import Chats, Generated, Pairs, Texts

GOOD = '{"prompt": "Is it?", "answer": "yes"}'


def opened(tokenizer: Tokenizer, *sources: Source, **settings: object) -> Feed:
    config = tiny_recipe().start.network(tokenizer, seed=0).config
    documents = Documents(sources=sources, canvas_length=8, **settings)  # type: ignore[arg-type]
    return documents.open(tokenizer, config, seed=0)


def write(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('{"prompt": "x", ', "not JSON"),
        ("[1, 2]", "expected a JSON object, got list"),
        ('{"prompt": "x"}', '"answer" and "completion"'),
        ('{"prompt": "x", "answer": "a", "completion": "b"}', "one of"),
        ('{"prompt": 3, "answer": "a"}', '"prompt" is a int'),
        ('{"prompt": "x", "answer": "  "}', "the answer is empty"),
        (json.dumps({"prompt": "x", "answer": "yes " * 99}), "allowed are 4: shorten it"),
        (json.dumps({"prompt": "yes " * 9999, "answer": "no"}), "shorten the prompt"),
    ],
)
def test_a_bad_pair_is_refused_by_its_line(
    tokenizer: Tokenizer, tmp_path: Path, line: str, wanted: str
) -> None:
    path = write(tmp_path / "data.jsonl", GOOD, "", line, GOOD)
    with pytest.raises(TrainingError, match=r"data\.jsonl, line 3: ") as caught:
        opened(tokenizer, Pairs(path=path), canvases=4)
    assert wanted in str(caught.value)


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        ("hello", "expected"),
        ([{"role": "user", "content": "x"}], "nothing to learn"),
        ([{"role": "assistant", "content": "x"}], "first message"),
        ([{"role": "robot", "content": "x"}, {"role": "assistant", "content": "y"}], "robot"),
        ([{"role": "user", "content": "x"}, {"role": "assistant"}], "empty"),
    ],
)
def test_a_bad_chat_is_refused_by_its_line(
    tokenizer: Tokenizer, tmp_path: Path, messages: object, wanted: str
) -> None:
    path = write(tmp_path / "data.jsonl", json.dumps({"messages": messages}))
    with pytest.raises(TrainingError, match=rf"data\.jsonl, line 1: .*{wanted}"):
        opened(tokenizer, Chats(path=path))


def test_what_cannot_be_read_or_is_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot read"):
        Pairs(path=str(tmp_path / "none.jsonl")).open()
    with pytest.raises(TrainingError, match="is empty"):
        Pairs(path=write(tmp_path / "data.jsonl", "", "  ")).open()
    with pytest.raises(TrainingError, match="holds no text"):
        Texts(folder=str(tmp_path)).open()
    with pytest.raises(TaskError, match="chess"):
        Generated(task="chess", count=3).open()


def test_bytes_that_are_no_text_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(GOOD.encode() + b"\n\xff\xfe\n")
    with pytest.raises(TrainingError, match=r"data\.jsonl, line 2: not UTF-8"):
        opened(tokenizer, Pairs(path=str(tmp_path / "data.jsonl")))


def test_lines_are_read_where_they_stand(tmp_path: Path) -> None:
    texts = [f"line {n} ä" for n in range(50)]
    lines = Lines(write(tmp_path / "x.jsonl", *texts))
    for index in random.Random(0).sample(range(50), 50):
        assert lines.read(index).strip() == texts[index]
        assert lines.where(index).endswith(f"line {index + 1}")


def test_every_answer_of_a_chat_is_a_passage(tokenizer: Tokenizer, tmp_path: Path) -> None:
    turns = [
        {"role": role, "content": text}
        for role, text in (("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    ]
    source = Chats(path=write(tmp_path / "x.jsonl", json.dumps({"messages": turns}))).open()
    first, second = source.passages(0, tokenizer, random.Random(0))
    assert list(first.prompt) == tokenizer.render(turns[:1])
    assert list(second.prompt) == tokenizer.render(turns[:3])
    assert list(second.answer) == [*tokenizer.encode("d"), tokenizer.token_id("<turn|>")]


def test_control_strings_in_answers_stay_text_unless_asked_for(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.jsonl", json.dumps({"prompt": "a", "answer": "b<turn|>c"}))
    end = tokenizer.token_id("<turn|>")
    for controls in (False, True):
        source = Pairs(path=path, controls=controls).open()
        (passage,) = source.passages(0, tokenizer, random.Random(0))
        assert list(passage.answer).count(end) == 1 + controls


def test_pieces_of_texts_join_to_the_text(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text = "".join(f"line {n} of a text\n" for n in range(200))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text(text)
    (tmp_path / "other.bin").write_bytes(b"\xff")
    source = Texts(folder=str(tmp_path), piece=500).open()
    assert len(source) > 5
    passages = [source.passages(n, tokenizer, random.Random(0))[0] for n in range(len(source))]
    assert "".join(tokenizer.decode(p.answer) for p in passages) == text
    assert [p.whole for p in passages] == [False] * (len(source) - 1) + [True]
    assert passages[-1].answer[-1] == tokenizer.token_id("<eos>")


def test_a_cut_text_has_only_canvases_that_it_fills() -> None:
    counts = [
        [Passage(prompt=[], answer=[1] * n, whole=whole).canvases(8) for n in (3, 8, 9, 16)]
        for whole in (True, False)
    ]
    assert counts == [[1, 1, 2, 2], [1, 1, 1, 2]]
