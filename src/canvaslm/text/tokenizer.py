"""The checkpoint's tokenizer: text and messages to token ids, and back to bytes and text."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from canvaslm.errors import CheckpointError, CorruptFileError, ParameterError, TemplateError
from canvaslm.text.controls import CHANNEL, CHANNEL_END
from canvaslm.text.guard import Guard
from canvaslm.text.layout import choose_layout
from canvaslm.text.messages import Conversation, Message
from canvaslm.text.template import ChatTemplate

_CONTROL = re.compile(r"<\|.+>|<.+\|>", re.DOTALL)
_NAMES = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}


class Tokenizer:
    """A tokenizer.json of byte-level BPE or of Gemma's layout, with the files that lie beside it.

    Control tokens are the added tokens that are marked special or written with a bar, as in
    `<|turn>`; they carry no text of their own.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        template: ChatTemplate | None = None,
        names: Mapping[str, str] | None = None,
        eos_ids: Sequence[int] = (),
    ) -> None:
        """`names` are bos_token, eos_token and the like; templates see them as variables.

        Raises CheckpointError for a layout that is not supported.
        """
        backend.no_truncation()
        backend.no_padding()
        self.template = template
        self._backend = backend
        self._layout = choose_layout(backend.decoder)
        self._controls = {
            id: token.content
            for id, token in backend.get_added_tokens_decoder().items()
            if token.special or _CONTROL.fullmatch(token.content)
        }
        self._bytes = {id: control.encode() for id, control in self._controls.items()}
        self.special_ids = frozenset(self._controls)
        known = {name: text for name, text in _NAMES.items() if self.token_id(text) is not None}
        self.names = {**known, **(names or {})}
        self.bos_id = self.token_id(self.names.get("bos_token", ""))
        eos_id = self.token_id(self.names.get("eos_token", ""))
        self.eos_ids = tuple(eos_ids) or (() if eos_id is None else (eos_id,))

    @classmethod
    def from_folder(cls, path: str | Path) -> Tokenizer | None:
        """Read tokenizer.json, tokenizer_config.json, chat_template.jinja, generation_config.json.

        None where there is no tokenizer.json. Raises CorruptFileError for a file that cannot be
        read as what it is, CheckpointError for a missing folder or an unsupported layout.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise CheckpointError(f"{folder} is not a folder: give the folder of a checkpoint")
        file = folder / "tokenizer.json"
        if not file.is_file():
            return None
        try:
            backend = tokenizers.Tokenizer.from_buffer(file.read_bytes())
        except Exception as failure:  # the library raises nothing narrower
            raise CorruptFileError(
                f"{file} is not a tokenizer: {failure}. Fetch the checkpoint again"
            ) from failure
        config = _read_json(folder / "tokenizer_config.json")
        return cls(
            backend,
            template=_read_template(folder, config),
            names=_token_names(config),
            eos_ids=_read_eos_ids(folder),
        )

    @property
    def vocab_size(self) -> int:
        """Entries of the vocabulary, added tokens included."""
        return self._backend.get_vocab_size()

    def token_id(self, text: str) -> int | None:
        """The id of the vocabulary entry written `text`, None if there is none."""
        return self._backend.token_to_id(text)

    def token_text(self, id: int) -> str:
        """The entry of `id` as the vocabulary writes it. Raises ParameterError for no such id."""
        text = self._backend.id_to_token(_check_id(id))
        if text is None:
            raise ParameterError(f"token id {id} is not in the vocabulary of {self.vocab_size}")
        return text

    def token_bytes(self, id: int) -> bytes:
        """The bytes `id` stands for in a text; of a control token, its name.

        b"" for an id beyond the vocabulary, as models round the size of their own up. Raises
        ParameterError for what cannot be an id.
        """
        return self._read_bytes(_check_id(id))

    @cached_property
    def longest(self) -> int:
        """Bytes of the longest token: no text of more characters is one token."""
        return max(len(self._read_bytes(id)) for id in range(self.vocab_size))

    def _read_bytes(self, id: int) -> bytes:
        known = self._bytes.get(id)
        if known is not None:
            return known
        entry = self._backend.id_to_token(id)
        return b"" if entry is None else self._bytes.setdefault(id, self._layout(entry))

    def text_bytes(self, ids: Iterable[int], *, special: bool = False) -> bytes:
        """The bytes of `ids` joined; control tokens are left out unless `special`."""
        hidden = frozenset() if special else self.special_ids
        return b"".join(self._read_bytes(id) for id in map(_check_id, ids) if id not in hidden)

    def decode(self, ids: Iterable[int], *, special: bool = False) -> str:
        """The text of `ids`, with control tokens spelled out if `special`, else left out.

        Bytes that are no UTF-8 become U+FFFD. Raises ParameterError for what cannot be an id.
        """
        return self.text_bytes(ids, special=special).decode("utf-8", errors="replace")

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The ids of `text`; no bos or eos is added.

        A control string such as `<turn|>` becomes its control token, or, with `special` False,
        the ids of its characters: use that for text from outside. Raises ParameterError for what
        is not a string of Unicode characters.
        """
        if not isinstance(text, str):
            raise ParameterError(f"text is a {type(text).__name__}, expected a string")
        try:
            text.encode()
        except UnicodeEncodeError as failure:
            raise ParameterError(
                f"text has a lone surrogate at {failure.start}: it is no Unicode text; decode its"
                " bytes with errors='replace'"
            ) from failure
        ids = self._backend.encode(text, add_special_tokens=False).ids
        if special or self.special_ids.isdisjoint(ids):
            return ids
        ids = self._encode_plain(text)
        if self.special_ids.isdisjoint(ids):
            return ids
        return [id for letter in text for id in self._encode_plain(letter)]

    def _encode_plain(self, text: str) -> list[int]:
        """The backend's own steps, without the one that looks for added tokens."""
        if (normalizer := self._backend.normalizer) is not None:
            text = normalizer.normalize_str(text)
        splitter = self._backend.pre_tokenizer
        words = [text] if splitter is None else [w for w, _ in splitter.pre_tokenize_str(text)]
        model = self._backend.model
        return [token.id for word in words for token in model.tokenize(word)]

    def render(
        self,
        messages: Sequence[Message],
        *,
        thinking: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[int]:
        """The prompt for `messages`, up to the model's turn: bos once, then the template's text.

        Control strings inside messages and tools stay text: nobody can end a turn, open a tool
        call or become the system by typing so. The one exception are thoughts in past answers,
        which the template takes out. Raises TemplateError where there is no template or it refuses
        the messages, ParameterError for content other than text.
        """
        if self.template is None:
            raise TemplateError(
                "the checkpoint has no chat template, so it cannot be given messages: give text or"
                " token ids, or put a chat_template.jinja into its folder"
            )
        conversation = Conversation.parse(messages, tools=tools)
        if media := conversation.media():
            raise ParameterError(f"messages hold {media[0]} parts: only text can be read so far")
        text = self.template.render(
            conversation.map_text(self._protect), thinking=thinking, variables=self.names
        )
        ids = self._encode_guarded(text)
        if self.bos_id is None:
            return ids
        start = next((n for n, id in enumerate(ids) if id != self.bos_id), len(ids))
        return [self.bos_id, *ids[start:]]

    def _protect(self, text: str, in_answer: bool) -> str:
        return self._guard.protect(text, keep=in_answer)

    def _encode_guarded(self, text: str) -> list[int]:
        if not self._guard.protected(text):
            return self.encode(text)
        pieces = self._guard.cut(text)
        return [id for piece, control in pieces for id in self.encode(piece, special=control)]

    @cached_property
    def _guard(self) -> Guard:
        # templates cut thoughts out of past answers, and need their control strings for that
        return Guard(self._controls.values(), keep=(CHANNEL, CHANNEL_END))


def _check_id(id: int) -> int:
    try:
        number = operator.index(id)
    except TypeError:
        raise ParameterError(f"token id {id!r} is a {type(id).__name__}, expected int") from None
    if not 0 <= number < 2**32:
        raise ParameterError(f"token id {number} is out of range, expected 0 or more")
    return number


def _read_json(file: Path) -> dict[str, Any]:
    """The object in `file`; {} where there is no file."""
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as failure:
        raise CorruptFileError(f"{file} is not JSON: {failure}. Fetch it again") from failure
    if not isinstance(value, dict):
        raise CorruptFileError(f"{file} holds a {type(value).__name__}, expected an object")
    return value


def _read_template(folder: Path, config: Mapping[str, Any]) -> ChatTemplate | None:
    """chat_template.jinja, else what tokenizer_config.json has: a text, or several with names."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return ChatTemplate(file.read_text(encoding="utf-8"))
        except UnicodeDecodeError as failure:
            raise CorruptFileError(f"{file} is not UTF-8: {failure}. Fetch it again") from failure
    source = config.get("chat_template")
    if source is None:
        return None
    if isinstance(source, list):
        named = [entry for entry in source if isinstance(entry, dict)]
        source = next((e.get("template") for e in named if e.get("name") == "default"), None)
    if not isinstance(source, str):
        raise CorruptFileError(
            f"{folder / 'tokenizer_config.json'}: chat_template is neither a text nor a list with"
            " one named default. Fetch it again"
        )
    return ChatTemplate(source)


def _token_names(config: Mapping[str, Any]) -> dict[str, str]:
    """bos_token, eos_token and so on of tokenizer_config.json, each a text or {content: text}."""
    named = {name: value for name, value in config.items() if name.endswith("_token")}
    texts = {n: v.get("content") if isinstance(v, dict) else v for n, v in named.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _read_eos_ids(folder: Path) -> tuple[int, ...]:
    """eos_token_id of generation_config.json, else of config.json; () where neither says."""
    for name in ("generation_config.json", "config.json"):
        ids = _read_json(folder / name).get("eos_token_id")
        if ids is None:
            continue
        ids = ids if isinstance(ids, list) else [ids]
        if not all(isinstance(id, int) for id in ids):
            raise CorruptFileError(f"{folder / name}: eos_token_id is {ids!r}, expected ids")
        return tuple(ids)
    return ()
