"""Whatever a caller gives becomes checked ids, or is refused with a reason."""

from typing import Any

import pytest
import torch
from tests.engine.conftest import TINY

from canvaslm import LM
from canvaslm.engine.prompt import check_length, check_rows, read_prompt
from canvaslm.errors import (
    ContextLengthError,
    MissingTokenizerError,
    ParameterError,
    TemplateError,
)


def read(prompt: Any, lm: LM) -> tuple[int, ...]:
    return read_prompt(prompt, tokenizer=lm._tokenizer, config=lm.config)


def test_ids_are_taken_as_they_are(lm: LM) -> None:
    for same in ([5, 6, 7], (5, 6, 7), torch.tensor([5, 6, 7]), torch.tensor([[5, 6, 7]])):
        assert read(same, lm) == (5, 6, 7)
    assert read([], lm) == ()


def test_text_is_a_users_turn(talker: LM) -> None:
    messages = [{"role": "user", "content": "a circle"}]
    assert read("a circle", talker) == read(messages, talker)
    assert list(read(messages, talker)) == talker.tokenizer.render(messages)


def test_text_without_a_template_follows_bos(talker: LM) -> None:
    talker.tokenizer.template = None
    ids = talker.tokenizer.encode("a circle")
    assert read("a circle", talker) == (talker.tokenizer.bos_id, *ids)


def test_text_needs_a_tokenizer(lm: LM) -> None:
    for prompt in ("a circle", [{"role": "user", "content": "a circle"}]):
        with pytest.raises(MissingTokenizerError, match=r"no tokenizer\.json"):
            read(prompt, lm)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([5, 300], r"token 1 of the prompt is 300, expected an id in \[0, 300\)"),
        ([-1], "token 0 of the prompt is -1"),
        ([1, 2.5], "token 1 of the prompt is 2.5"),
        ([True], "token 0 of the prompt is True"),
        (torch.tensor([0.5]), "token 0 of the prompt is 0.5"),
        (torch.tensor(5), "a prompt must be text, a list of messages or a list of token ids"),
        (5, "a prompt must be text"),
        (None, "a prompt must be text"),
        ({"role": "user", "content": "x"}, "a prompt must be text"),
        (b"x", "a prompt must be text"),
    ],
)
def test_what_is_no_prompt_is_refused(lm: LM, prompt: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read(prompt, lm)


def test_the_templates_refusal_arrives(talker: LM) -> None:
    with pytest.raises(TemplateError, match="role"):
        read([{"role": "wizard", "content": "x"}], talker)


@pytest.mark.parametrize(
    ("prompt", "answer", "fits"),
    [(176, 16, True), (177, 16, False), (160, 17, True), (161, 17, False)],
)
def test_diffusion_needs_room_for_whole_canvases(prompt: int, answer: int, fits: bool) -> None:
    if fits:
        check_length(prompt, answer=answer, mode="diffusion", config=TINY)
        return
    with pytest.raises(ContextLengthError, match=f"{prompt} tokens .* the model's context is 192"):
        check_length(prompt, answer=answer, mode="diffusion", config=TINY)


def test_the_message_says_what_would_fit() -> None:
    with pytest.raises(ContextLengthError, match=r"set max_tokens to at most 80$"):
        check_length(100, answer=512, mode="diffusion", config=TINY)
    with pytest.raises(ContextLengthError, match=r"shorten the prompt by 124 tokens or more$"):
        check_length(300, answer=16, mode="diffusion", config=TINY)
    with pytest.raises(ContextLengthError, match=r"set max_tokens to at most 2$"):
        check_length(190, answer=3, mode="ar", config=TINY)


def test_rows_of_ids_are_a_tensor() -> None:
    assert check_rows([1, 2], TINY).tolist() == [[1, 2]]
    assert check_rows(torch.tensor([[1, 2], [3, 4]]), TINY).tolist() == [[1, 2], [3, 4]]
    for wrong in ([[1, 2], [3]], [[]], [], [[1], 2]):
        with pytest.raises(ParameterError):
            check_rows(wrong, TINY)
