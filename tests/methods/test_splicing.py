"""Any Unicode text, every kind of tokenizer: unedited bytes stay, reverting is exact, spans are sound."""

from __future__ import annotations

import gzip
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from recension.document import Field
from recension.methods.toedit import Sampling, edit_text, surfaces, undo
from recension.models.surfaces import encode, surfaces_of
from recension.ports import TokenScores

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "models"))


def gpt2():
    """GPT-2's own vocabulary: the byte alphabet, one token for each merge, and the end of text."""
    lines = gzip.decompress((HERE.parent / "data" / "gpt2_merges.txt.gz").read_bytes()).decode().splitlines()[1:]
    merges = [tuple(line.split(" ")) for line in lines if line]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [chr(256 + i) for i in range(256 - len(printable))]
    names = [*map(chr, printable), *moved, *(a + b for a, b in merges), "<|endoftext|>"]
    tokenizer = tokenizers.Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    assert tokenizer.get_vocab_size() == 50257
    return tokenizer


@cache
def family(name: str):
    import tiny

    make = {
        "gpt2": gpt2,
        "byte-level": lambda: tiny.byte_level(["<|endoftext|>"]),
        "byte-level-nfc": lambda: tiny.byte_level(["<|endoftext|>"], tokenizers.normalizers.NFC()),
        "metaspace": tiny.metaspace,
        "metaspace-bare": lambda: tiny.metaspace(prepend=False),
    }[name]
    tokenizer = make()
    tokenizer.encode_special_tokens = True
    known = surfaces_of(tokenizer)
    return tokenizer, known, surfaces(known.characters)


TEXTS = st.one_of(
    st.text(max_size=80),
    st.text(st.sampled_from("ab \n\té🙂中\u0301\u200d<|endoftext|></s>▁Ġ"), max_size=80),
    st.lists(st.sampled_from([" the", "Hello", "<|endoftext|>", "</s>", "👩‍👩‍👧", "e\u0301", "ﬁ", "  ", "\r\n"])).map(
        "".join
    ),
).filter(lambda t: "\0" not in t)


@pytest.mark.parametrize("name", ["gpt2", "byte-level", "byte-level-nfc", "metaspace", "metaspace-bare"])
@settings(max_examples=80, deadline=None)
@given(text=TEXTS, seed=st.integers(0, 2**32))
def test_editing_touches_nothing_but_the_edited_tokens(name, text, seed):
    tokenizer, known, vocabulary = family(name)
    (encoded,) = encode(tokenizer, [text], known)
    ids, spans = encoded.ids, encoded.spans
    last = 0
    for token, (start, end) in zip(ids, spans, strict=True):
        if start >= 0:
            assert text[start:end] == known.characters[token] and start >= last
            last = end
    scores = random_scores(ids, spans, len(known.characters), np.random.default_rng(seed))
    empty = np.empty((0, 2), dtype=np.int64)
    done = edit_text(text, (Field("text", 0, len(text)),), scores, vocabulary, (Sampling(), empty, seed))
    rebuilt, at = [], 0
    for edit in done.edits:
        assert edit.old == text[edit.start : edit.end] and edit.new and edit.old != edit.new
        rebuilt += [text[at : edit.start], edit.new]
        at = edit.end
    assert "".join(rebuilt) + text[at:] == done.text
    assert undo(done.text, done.edits) == text
    assert done.text.encode("utf-8").decode("utf-8") == done.text and "\0" not in done.text


def random_scores(ids, spans, vocabulary, rng) -> TokenScores:
    """Everything flagged, with rivals from anywhere in the vocabulary."""
    count = len(ids)
    rivals = rng.integers(0, vocabulary, (count, 8)).astype(np.int32)
    logprobs = np.sort(np.log(rng.dirichlet(np.ones(8), count).astype(np.float32).clip(1e-9)), axis=1)[:, ::-1]
    logprobs = logprobs.reshape(count, 8)
    return TokenScores(
        ids=ids.astype(np.int32),
        spans=spans,
        logprobs=np.full(count, -0.001, dtype=np.float32),
        flagged=np.arange(count, dtype=np.int32),
        rivals=rivals,
        rival_logprobs=logprobs,
        rival_mass=np.ones(count, dtype=np.float32),
    )


def test_gpt2_leaves_parts_of_characters_alone():
    tokenizer, known, _ = family("gpt2")
    (encoded,) = encode(tokenizer, ["naïve 𝒜 𓀀"], known)
    cut = [i for i, (start, _) in enumerate(encoded.spans) if start < 0]
    assert cut, "an emoji is more than one byte token"
    assert all(known.characters[encoded.ids[i]] is None for i in cut)
