"""Token healing: a gap anywhere in a text can be written so that the text is whole again."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from canvaslm import LM
from canvaslm.engine.rewriting.seams import NONE, Seams, find_seams

TEXTS = st.sampled_from(
    ["a square and a circle", "def f(x):\n    return x", "ärger — 数字 🙂 end", "a_b1 = c2\n\n  d"]
)


@given(text=TEXTS, data=st.data())
def test_the_true_text_is_reachable_wherever_a_text_is_cut(
    writer: LM, text: str, data: st.DataObject
) -> None:
    places = st.integers(0, len(text))
    start, end = sorted((data.draw(places), data.draw(places)))
    prefix, true, suffix = text[:start], text[start:end], text[end:]
    tokenizer = writer.tokenizer
    assert tokenizer.text_bytes(tokenizer.encode(true, special=False)) == true.encode()
    seams = find_seams(prefix, suffix, tokenizer)
    ids = [
        id
        for piece in (seams.stem, true, seams.tail)
        for id in tokenizer.encode(piece, special=False)
    ]
    if not ids or seams == NONE:
        return
    rule = seams.rule(tokenizer, size=len(ids), vocab_size=writer.config.vocab_size)
    assert rule is not None
    logits_LV = torch.zeros(len(ids), writer.config.vocab_size)
    rule.apply(logits_LV, [], None)
    assert logits_LV[range(len(ids)), ids].tolist() == [0.0] * len(ids)
    assert seams.strip(tokenizer.text_bytes(ids)) == true.encode()


def test_whatever_the_rule_lets_through_begins_and_ends_with_the_word(writer: LM) -> None:
    seams, tokenizer = find_seams("def squ", "ircle", writer.tokenizer), writer.tokenizer
    assert "def squ".endswith(seams.stem)
    assert "ircle".startswith(seams.tail)
    assert seams.tokens == 2
    for size in (2, 4):
        rule = seams.rule(tokenizer, size=size, vocab_size=300)
        assert rule is not None
        for seed in range(5):
            logits_LV = torch.randn(size, 300, generator=torch.Generator().manual_seed(seed))
            rule.apply(logits_LV, [], None)
            written = tokenizer.text_bytes(logits_LV.argmax(dim=-1).tolist())
            assert written.startswith(seams.stem.encode())
            assert written.endswith(seams.tail.encode())


def test_one_token_heals_both_ends_only_where_the_vocabulary_has_it(writer: LM) -> None:
    word = next(
        text
        for id in range(300)
        if (text := writer.tokenizer.decode([id])).isalpha() and len(text) > 2
    )
    ends = Seams(stem=word[0], tail=word[-1])
    rule = ends.rule(writer.tokenizer, size=1, vocab_size=300)
    assert rule is not None
    logits_1V = torch.zeros(1, 300)
    rule.apply(logits_1V, [], None)
    allowed = [writer.tokenizer.decode([id]) for id in (logits_1V[0] == 0).nonzero()[:, 0]]
    assert word in allowed
    assert all(len(text) > 1 and text[0] == word[0] and text[-1] == word[-1] for text in allowed)
    nowhere = Seams(stem="qqq", tail="zzz")
    assert nowhere.rule(writer.tokenizer, size=1, vocab_size=300) is None


def test_only_words_are_healed(writer: LM) -> None:
    assert find_seams("x = ", "\n", writer.tokenizer) == NONE
    assert find_seams("", "", writer.tokenizer) == NONE
    assert find_seams("ab", " c", writer.tokenizer).tail == ""
