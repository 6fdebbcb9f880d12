"""Where examples come from: chats and prompt-answer pairs in JSONL, text folders, generators."""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from canvaslm.errors import CanvasError, TrainingError
from canvaslm.tasks import get
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import control
from canvaslm.training.data.lines import Lines
from canvaslm.training.data.passage import Opened, Passage

LONGEST = 200  # characters of a bad line that a message shows


@dataclass(frozen=True, kw_only=True)
class Chats:
    """{"messages": [{"role", "content"}, ...]} a line; every answer of the assistant is learnt.

    With `controls`, control strings in answers, such as those around thoughts, become control
    tokens; else they are text like any other.
    """

    path: str
    controls: bool = False

    def open(self) -> Opened:
        return OpenChats(Lines(self.path), controls=self.controls)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """{"prompt", "answer"} or {"prompt", "completion"} a line, and perhaps "system"."""

    path: str
    controls: bool = False

    def open(self) -> Opened:
        return OpenChats(Lines(self.path), controls=self.controls, pairs=True)


@dataclass(frozen=True)
class OpenChats:
    """JSONL of conversations."""

    lines: Lines
    controls: bool = False
    pairs: bool = False

    @property
    def fingerprint(self) -> str:
        return self.lines.fingerprint

    def __len__(self) -> int:
        return len(self.lines)

    def where(self, index: int) -> str:
        return self.lines.where(index)

    def passages(self, index: int, tokenizer: Tokenizer, rng: random.Random) -> list[Passage]:
        del rng
        where, entry = self.where(index), self.entry(index)
        messages = pair_messages(entry, where) if self.pairs else entry.get("messages")
        if not isinstance(messages, list) or not all(isinstance(m, Mapping) for m in messages):
            raise TrainingError(f'{where}: expected {{"messages": [{{"role", "content"}}, ...]}}')
        turns = [n for n, m in enumerate(messages) if m.get("role") in ("assistant", "model")]
        turns = [n for n in turns if not messages[n].get("tool_calls")]  # context only
        if not turns:
            raise TrainingError(f"{where}: no message of the role assistant: nothing to learn")
        try:
            return [self.passage(messages, n, entry, tokenizer, where) for n in turns]
        except TrainingError:
            raise
        except CanvasError as error:
            raise TrainingError(f"{where}: {error}") from error

    def entry(self, index: int) -> dict[str, Any]:
        where, text = self.where(index), self.lines.read(index)
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError) as error:
            shown = text.strip()[:LONGEST]
            raise TrainingError(f"{where}: not JSON: {error}; it reads {shown!r}") from None
        if not isinstance(entry, dict):
            raise TrainingError(f"{where}: expected a JSON object, got {type(entry).__name__}")
        return entry

    def passage(
        self,
        messages: list[dict[str, Any]],
        turn: int,
        entry: Mapping[str, Any],
        tokenizer: Tokenizer,
        where: str,
    ) -> Passage:
        if turn == 0:
            raise TrainingError(f"{where}: the first message is an answer; put the prompt before")
        answer = messages[turn].get("content")
        if isinstance(answer, list):
            answer = "".join(str(part.get("text", "")) for part in answer)
        if not isinstance(answer, str) or not answer.strip():
            raise TrainingError(f"{where}: the answer is empty: give it a text, or drop the line")
        return Passage(
            prompt=tokenizer.render(messages[:turn], tools=entry.get("tools")),
            answer=[
                *tokenizer.encode(answer, special=self.controls),
                control(tokenizer, "<turn|>"),
            ],
        )


def pair_messages(entry: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """A pair as a conversation. Raises TrainingError for a key that is missing or no text."""
    named = [key for key in ("answer", "completion") if key in entry]
    if len(named) != 1 or "prompt" not in entry:
        raise TrainingError(
            f'{where}: expected "prompt" and one of "answer" and "completion", got the keys '
            f"{', '.join(map(repr, entry)) or 'none'}"
        )
    for key in ("prompt", named[0], "system"):
        if not isinstance(entry.get(key, ""), str):
            kind = type(entry[key]).__name__
            raise TrainingError(f'{where}: "{key}" is a {kind}, expected a string')
    system = [{"role": "system", "content": entry["system"]}] if "system" in entry else []
    user = {"role": "user", "content": entry["prompt"]}
    return [*system, user, {"role": "assistant", "content": entry[named[0]]}]


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Every file in `folder` and below with one of `suffixes`, learnt in pieces of `piece` bytes.

    A piece that is not its file's last is learnt as text that goes on: without an end.
    """

    folder: str
    suffixes: Sequence[str] = (".txt", ".md")
    piece: int = 16_384

    def open(self) -> Opened:
        return OpenTexts(self)


class OpenTexts:
    """The pieces of all files, by file and place."""

    def __init__(self, texts: Texts) -> None:
        folder, digest = Path(texts.folder).expanduser(), blake2b(digest_size=16)
        self.texts = texts
        self.files = sorted(p for p in folder.rglob("*") if p.suffix in texts.suffixes)
        self._file, self._start = array("L"), array("Q")
        try:
            for number, path in enumerate(self.files):
                digest.update(str(path.relative_to(folder)).encode())
                for start in starts(path, texts.piece, digest):
                    self._file.append(number)
                    self._start.append(start)
        except OSError as error:
            raise TrainingError(f"cannot read {folder}: {error}") from error
        if not self._file:
            kinds = ", ".join(texts.suffixes)
            raise TrainingError(f"{folder} holds no text: expected files that end in {kinds}")
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._file)

    def where(self, index: int) -> str:
        return f"{self.files[self._file[index]]}, byte {self._start[index]}"

    def passages(self, index: int, tokenizer: Tokenizer, rng: random.Random) -> list[Passage]:
        del rng
        last = index + 1 == len(self) or self._file[index + 1] != self._file[index]
        end = -1 if last else self._start[index + 1] - self._start[index]
        with self.files[self._file[index]].open("rb") as file:
            file.seek(self._start[index])
            raw = file.read(end)
        try:
            ids = tokenizer.encode(raw.decode("utf-8"), special=False)
        except UnicodeDecodeError as error:
            raise TrainingError(f"{self.where(index)}: not UTF-8: {error}") from error
        if not ids:
            raise TrainingError(f"{self.where(index)}: nothing but blanks")
        begin = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
        ends = [control(tokenizer, "<eos>")] if last else []
        return [Passage(prompt=begin, answer=[*ids, *ends], whole=last, rolling=True)]


def starts(path: Path, piece: int, digest: Any) -> list[int]:
    """Where the pieces of a file begin: at ends of lines, at least `piece` bytes apart."""
    found, place = [0], 0
    with path.open("rb") as file:
        for line in file:
            digest.update(line)
            if place - found[-1] >= piece:
                found.append(place)
            place += len(line)
    return found if place else []


@dataclass(frozen=True, kw_only=True)
class Generated:
    """`count` examples an epoch of a task, made anew in every epoch; `bins` are their shares."""

    task: str
    count: int
    bins: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise TrainingError(f"count must be at least 1, got {self.count!r}")

    def open(self) -> Opened:
        get(self.task)  # TaskError where there is no such task
        return OpenGenerated(self)


@dataclass(frozen=True)
class OpenGenerated:
    """Examples of a task's training split, drawn as they are read."""

    source: Generated

    @property
    def fingerprint(self) -> str:
        return f"{self.source.task}/{self.source.count}"

    def __len__(self) -> int:
        return self.source.count

    def where(self, index: int) -> str:
        return f"example {index} of task {self.source.task}"

    def passages(self, index: int, tokenizer: Tokenizer, rng: random.Random) -> list[Passage]:
        del index
        bins = self.source.bins
        bin = rng.choices(list(bins), weights=list(bins.values()))[0] if bins else None
        example = task_of(self.source.task).sample(rng, split="train", bin=bin)
        return [
            Passage(
                prompt=tokenizer.render([{"role": "user", "content": example.prompt}]),
                answer=[*tokenizer.encode(example.answer), control(tokenizer, "<turn|>")],
            )
        ]


task_of = lru_cache(get)
