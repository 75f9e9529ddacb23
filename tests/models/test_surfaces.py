from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CORPUS, byte_level, metaspace
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from recension.errors import ModelError
from recension.models.surfaces import encode, surfaces_of, token_spans
from recension.models.windows import SMALLEST_CONTEXT, packs, windows


def literal(tokenizer: Tokenizer) -> Tokenizer:
    """As the adapters use it: the names of special tokens are ordinary text."""
    tokenizer.encode_special_tokens = True
    return tokenizer


def with_runs_of_spaces() -> Tokenizer:
    tokenizer = byte_level(["<|endoftext|>"])
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True, special=False) for n in (2, 3, 4)])
    tokenizer.add_tokens([AddedToken("Straße", lstrip=True, special=False)])
    return tokenizer


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


TOKENIZERS = {
    "byte-level": literal(byte_level(["<|endoftext|>"])),
    "byte-level, NFC": literal(byte_level(["<|endoftext|>"], normalizers.NFC())),
    "byte-level, lower case": literal(byte_level(["<|endoftext|>"], normalizers.Lowercase())),
    "byte-level, added spaces": literal(with_runs_of_spaces()),
    "metaspace": literal(metaspace()),
    "metaspace, nothing prepended": literal(metaspace(prepend=False)),
    "unigram, NFKC": literal(unigram()),
}
SURFACES = {name: surfaces_of(tokenizer) for name, tokenizer in TOKENIZERS.items()}
TEXTS = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="the mil\u2581 e\u0301\u00e9\u20ac\U0001f600\n\t\0<s>/|", max_size=60),
    st.lists(
        st.sampled_from([*CORPUS, "<|endoftext|>", "</s>", "<0x0A>", "Straße", "\u2581the", "ﬁ½"]), max_size=4
    ).map("".join),
)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_a_span_is_exactly_the_surface_of_its_token(name, text):
    surfaces = SURFACES[name]
    [found] = encode(TOKENIZERS[name], [text], surfaces)
    assert found.spans.shape == (len(found.ids), 2)
    reached = 0
    for token, (start, end) in zip(found.ids, found.spans.tolist(), strict=True):
        if start < 0:
            assert end == -1
            continue
        assert text[start:end] == surfaces.characters[token]
        assert reached <= start < end <= len(text)
        reached = end


@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_bytes_and_offsets_agree_where_both_can_place_a_token(text):
    tokenizer, surfaces = TOKENIZERS["byte-level"], SURFACES["byte-level"]
    encoding = tokenizer.encode(text, add_special_tokens=False)
    by_bytes = token_spans(text, encoding.ids, encoding.offsets, surfaces)
    for token, span, offsets in zip(encoding.ids, by_bytes.tolist(), encoding.offsets, strict=True):
        assert tuple(span) == (offsets if surfaces.characters[token] is not None else (-1, -1))


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet=st.characters(max_codepoint=127, exclude_characters="\0"), max_size=80))
def test_every_token_of_plain_text_is_placed(text):
    for name in ("byte-level", "byte-level, added spaces", "metaspace, nothing prepended"):
        [found] = encode(TOKENIZERS[name], [text], SURFACES[name])
        assert "".join(text[start:end] for start, end in found.spans.tolist() if start >= 0) == text


def test_bytes_stand_for_characters():
    byte, marks = SURFACES["byte-level"], SURFACES["metaspace"]
    vocabulary = TOKENIZERS["byte-level"].get_vocab()
    assert byte.characters[vocabulary["Ġ"]] == " "
    assert byte.characters[vocabulary["Ċ"]] == "\n"
    assert byte.characters[vocabulary["Ã"]] is None, "half a character"
    assert byte.characters[vocabulary["Ā"]] is None, "NUL"
    assert byte.characters[vocabulary["<|endoftext|>"]] is None
    assert byte.pieces is not None
    assert byte.pieces[vocabulary["Ã"]] == b"\xc3"
    vocabulary = TOKENIZERS["metaspace"].get_vocab()
    assert marks.characters[vocabulary["\u2581"]] == " "
    assert marks.characters[vocabulary["<0x0A>"]] == "\n"
    assert marks.characters[vocabulary["<0x00>"]] is None
    assert marks.characters[vocabulary["<0xE2>"]] is None
    assert marks.characters[vocabulary["</s>"]] is None


def test_ids_that_a_model_calls_special_have_no_surface():
    tokenizer = TOKENIZERS["byte-level"]
    the = tokenizer.token_to_id("the")
    assert surfaces_of(tokenizer).characters[the] == "the"
    assert surfaces_of(tokenizer, [the]).characters[the] is None


def test_names_of_special_tokens_are_ordinary_text():
    for name, tokenizer in TOKENIZERS.items():
        if name.startswith("unigram"):
            continue  # its own vocabulary spells "</s>"; the prior reads such a token and never edits it
        [found] = encode(tokenizer, ["a</s><|endoftext|>b"], SURFACES[name])
        assert not set(found.ids.tolist()) & SURFACES[name].special


def test_offsets_without_their_leading_space_are_widened():
    surfaces = SURFACES["metaspace"]
    vocabulary = TOKENIZERS["metaspace"].get_vocab()
    ids = [vocabulary["\u2581the"], vocabulary["\u2581the"], vocabulary["\u2581the"]]
    spans = token_spans("the the the", ids, [(0, 3), (4, 7), (7, 11)], surfaces)
    assert spans.tolist() == [[-1, -1], [3, 7], [7, 11]]


def test_a_mark_in_the_text_is_not_a_space():
    [found] = encode(TOKENIZERS["metaspace"], ["the\u2581the the"], SURFACES["metaspace"])
    spans = [span for span in found.spans.tolist() if span[0] >= 0]
    assert [7, 11] in spans
    assert not any(start <= 3 < end for start, end in spans)


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def suffixed() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE({"a</w>": 0}, [], end_of_word_suffix="</w>"))
    tokenizer.decoder = decoders.BPEDecoder()
    return tokenizer


@pytest.mark.parametrize(
    "tokenizer", [word_piece(), suffixed(), Tokenizer(models.WordLevel({"a": 0})), Tokenizer(models.BPE({"a": 0}, []))]
)
def test_other_tokenizers_are_refused_with_those_that_work(tokenizer):
    with pytest.raises(ModelError, match=r"byte-level BPE .* work"):
        surfaces_of(tokenizer)


# --- windows --------------------------------------------------------------------------------------------------------


@given(length=st.integers(0, 400), context=st.integers(SMALLEST_CONTEXT, 60), bos=st.booleans())
def test_every_token_is_scored_once_with_a_quarter_of_the_context_before_it(length, context, bos):
    cut = windows(length, context, bos)
    assert [t for w in cut for t in range(w.first, w.stop)] == list(range(0 if bos else 1, length))
    for window in cut:
        assert window.stop - window.start + bos <= context
        assert window.first + bos > window.start, "something stands before the first token that is scored"
        if window.start:
            assert window.first - window.start + bos >= context // 4


def test_a_text_that_fits_is_read_at_once():
    assert windows(9, 10, True) == [(0, 9, 0)]
    assert windows(10, 10, False) == [(0, 10, 1)]
    assert len(windows(10, 10, True)) == 2


def test_a_context_that_is_too_short_is_refused():
    with pytest.raises(ModelError, match="too short"):
        windows(5, SMALLEST_CONTEXT - 1, True)


@given(lengths=st.lists(st.integers(1, 50), max_size=40), budget=st.integers(1, 120), mixed=st.booleans())
def test_packs_hold_every_window_once_and_keep_their_size(lengths, budget, mixed):
    plan = packs(lengths, budget, mixed)
    assert sorted(i for pack in plan for i in pack) == list(range(len(lengths)))
    for pack in plan:
        assert len(pack) == 1 or sum(lengths[i] for i in pack) <= budget
    if mixed:
        assert sum(2 * sum(lengths[i] for i in pack) <= budget for pack in plan) <= 1, "two packs that fit in one"
    else:
        assert (np.diff([lengths[i] for pack in plan for i in pack]) <= 0).all()
