"""The bank itself: the orthogonal stand-in, means over sentences, refusals."""

import dataclasses
import hashlib

import numpy as np
import pytest

from surgjax.checkpoints.clip_import import load_clip_text
from surgjax.text.categories import TextClass, categories
from surgjax.text.clip_text_encoder import ClipTextConfig, encode
from surgjax.text.clip_tokenizer import ClipTokenizer
from surgjax.text.orthogonal_rows import orthogonal_rows
from surgjax.text.templates import Templates
from surgjax.text.text_bank import ORTHOGONAL, TextBank, clip_bank, nearest_pairs, orthogonal_bank
from tests.text import clip_folder

HOOK = TextClass("hook", ("hook", "cautery hook"), True)
LIVER = TextClass("liver", ("liver",), False)
TEMPLATES = Templates(("a {name}", "one {name} there"), ("the {name}",))


def test_orthogonal_rows_are_these_bytes_everywhere():
    rows = orthogonal_rows(37, 512, 0)
    assert hashlib.sha256(rows.astype("<f4").tobytes()).hexdigest() == (
        "5527c92bd5f7084756cecd6da24ad8d4ed07fd801a27543bd45a0ce3c5b73f86"
    )


def test_orthogonal_rows_are_orthonormal_and_begin_alike():
    rows = orthogonal_rows(12, 16, 3).astype(np.float64)
    np.testing.assert_allclose(rows @ rows.T, np.eye(12), atol=2e-7)
    np.testing.assert_array_equal(orthogonal_rows(5, 16, 3), rows[:5].astype(np.float32))
    assert np.abs(rows - orthogonal_rows(12, 16, 4)).max() > 0.1
    assert orthogonal_rows(16, 16, 0).shape == (16, 16)


@pytest.mark.parametrize("count", [0, 17])
def test_rows_that_cannot_be_orthogonal_are_refused(count):
    with pytest.raises(ValueError, match="expected 1 to 16"):
        orthogonal_rows(count, 16, 0)


def test_orthogonal_bank_says_what_it_is():
    bank = orthogonal_bank(categories())
    assert bank.kind == ORTHOGONAL == "orthogonal fallback, no language in it"
    assert bank.vectors.shape == (37, 512) and bank.is_instrument.sum() == 21
    assert bank.inputs == {"seed": "0"} and bank.index_of("liver") == 1
    with pytest.raises(ValueError, match="class 'lever': the text bank has uterus, liver"):
        bank.index_of("lever")


def test_a_row_is_the_normalised_mean_of_normalised_vectors(tmp_path):
    config = clip_folder.write(tmp_path)
    loaded, tokenizer = load_clip_text(tmp_path), ClipTokenizer.from_folder(tmp_path)
    bank = clip_bank(loaded.params, config, tokenizer, (HOOK, LIVER), TEMPLATES)
    texts = ["a hook", "one hook there", "a cautery hook", "one cautery hook there"]
    vectors = encode(loaded.params, config, tokenizer(texts, 16), batch=4)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = unit.mean(0) / np.linalg.norm(unit.mean(0))
    np.testing.assert_allclose(bank.vectors[0], mean, atol=1e-6)
    assert np.abs(mean - unit[0]).max() > 1e-3  # so the mean is not one of them
    assert bank.kind == "CLIP text tower" and bank.is_instrument.tolist() == [True, False]


def test_text_vectors_depend_neither_on_batch_nor_on_padding(tmp_path):
    config = clip_folder.write(tmp_path)
    params, tokenizer = load_clip_text(tmp_path).params, ClipTokenizer.from_folder(tmp_path)
    ids = tokenizer(["hook", "the grasper of the surgeon", "fat"], 16)
    together = encode(params, config, ids, batch=2)
    alone = np.concatenate([encode(params, config, ids[k : k + 1], batch=1) for k in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    ids[0, 3:] = 5  # after the first end nothing counts
    np.testing.assert_allclose(encode(params, config, ids, batch=2), together, atol=1e-6)


def test_tower_and_vocabulary_of_two_models_are_refused(tmp_path):
    config = clip_folder.write(tmp_path)
    params, tokenizer = load_clip_text(tmp_path).params, ClipTokenizer.from_folder(tmp_path)
    other = dataclasses.replace(config, vocabulary=600)
    with pytest.raises(ValueError, match="the vocabulary has 814 tokens, the weights 600"):
        clip_bank(params, other, tokenizer, (HOOK,), TEMPLATES)
    swapped = ClipTokenizer.from_folder(tmp_path)
    swapped.end_id = 3
    with pytest.raises(ValueError, match="the end token has id 3, expected 813, the last"):
        clip_bank(params, config, swapped, (HOOK,), TEMPLATES)


def test_instruments_keep_their_rows():
    bank = orthogonal_bank((LIVER, HOOK, TextClass("grasper", ("grasper",), True)))
    cut = bank.instruments()
    assert cut.names == ("hook", "grasper") and cut.is_instrument.all() and cut.kind == bank.kind
    np.testing.assert_array_equal(cut.vectors, bank.vectors[1:])
    assert cut.instruments().sha256() == cut.sha256() != bank.sha256()
    with pytest.raises(ValueError, match="two instruments or more .* found 1 among hook, liver"):
        orthogonal_bank((HOOK, LIVER)).instruments()


def test_nearest_pairs():
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    bank = TextBank(("a", "b", "c"), vectors, "by hand", np.ones(3, bool))
    found = nearest_pairs(bank, 2)
    assert [pair[1:] for pair in found] == [("b", "c"), ("a", "b")]
    np.testing.assert_allclose([pair[0] for pair in found], [0.8, 0.6], atol=1e-6)
    assert len(nearest_pairs(bank, 99)) == 3


def good():
    return dict(
        names=("a", "b"),
        vectors=np.eye(2, 4, dtype=np.float32),
        kind="by hand",
        is_instrument=np.array([True, False]),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(names=("a", "a")), "expected different names"),
        (dict(names=("a",)), r"expected float32 vectors \[1, D\]"),
        (dict(vectors=np.eye(2, 4)), r"expected float32 vectors \[2, D\], found float64"),
        (dict(vectors=2 * np.eye(2, 4, dtype=np.float32)), "the vector of 'a' has length 2"),
        (dict(vectors=np.full((2, 4), np.nan, np.float32)), "has length nan, expected 1"),
        (dict(is_instrument=np.array([1, 0])), r"expected is_instrument bool \[2\]"),
    ],
)
def test_banks_that_are_none(change, message):
    with pytest.raises(ValueError, match=message):
        TextBank(**(good() | change))


def test_the_sum_is_of_names_flags_kind_and_vectors():
    sums = {TextBank(**good()).sha256()}
    sums.add(TextBank(**good() | dict(names=("a", "c"))).sha256())
    sums.add(TextBank(**good() | dict(kind="other")).sha256())
    sums.add(TextBank(**good() | dict(is_instrument=np.array([True, True]))).sha256())
    sums.add(TextBank(**good() | dict(vectors=np.eye(2, 4, 1, dtype=np.float32))).sha256())
    assert len(sums) == 5


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="width 10 is not a multiple of heads 4"):
        ClipTextConfig(width=10, heads=4)
    with pytest.raises(ValueError, match="activation 'relu': expected one of quick_gelu, gelu"):
        ClipTextConfig(activation="relu")
