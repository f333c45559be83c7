"""CLIP's tokenizer, text tower and converter against transformers.

Axes:    token ids [N, L]; text vectors [N, D].
Units:   absolute errors on vectors whose standard deviation is of order 1.
Errors:  AssertionError with the text, or the measured error.
Source:  transformers 5.23, CLIPTokenizer and CLIPTextModelWithProjection, lively random weights.
Differs: the vocabulary here has the layout of CLIP's own and 300 merges.
"""

import dataclasses
import random
import unicodedata

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from surgjax.checkpoints.clip_import import (  # noqa: E402
    import_clip_text,
    load_clip_text,
    select_text,
)
from surgjax.checkpoints.tables import clip_text as tables  # noqa: E402
from surgjax.text.clip_text_encoder import (  # noqa: E402
    VIT_B_32,
    ClipTextConfig,
    debug_config,
    encode,
    param_shapes,
)
from surgjax.text.clip_tokenizer import ClipTokenizer  # noqa: E402
from tests.parity import clip_text  # noqa: E402
from tests.text import vocabulary  # noqa: E402

pytestmark = pytest.mark.parity
LIMIT = 2e-5
# Pieces where one step of the tokenizer meets another.
PIECES = (
    "'s", "'t", "'re", "'VE", "'ll", "'", "<|startoftext|>", "<|endoftext|>", "<|ENDOFTEXT|>",
    "<|", "|>", " ", "  ", "\t\n", "\x1c", "\x85", "\u00a0", "\u3000", "\u200b", "e\u0301",
    "\u0323\u0307", "\u03a3", "\u0130", "\u00df", "\u01c5", "\ufb01", "1", "23", "\u00bd", "\u00b2",
    "\u4e00", "\u0e01", "\u093c", "\u0600", "\U0001f469\u200d\u2695\ufe0f", "-", "!!", "#version",
    "grasper", "the ", "Hook", "instrument ",
)  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    vocabulary.write(folder)
    return ClipTokenizer.from_folder(folder), transformers.CLIPTokenizer.from_pretrained(folder)


def assigned(step):
    """Every step-th character that this Python's Unicode knows, surrogates aside."""
    known = [
        chr(n) for n in range(0x110000) if unicodedata.category(chr(n)) not in ("Cn", "Cs", "Co")
    ]
    return known[::step]


def check_texts(pair, texts):
    ours, theirs = pair
    for start in range(0, len(texts), 10_000):
        part = texts[start : start + 10_000]
        for text, want in zip(part, theirs(part)["input_ids"], strict=True):
            assert [ours.start_id, *ours.tokens(text), ours.end_id] == want, repr(text)


def test_random_texts(pair):
    rng = random.Random(0)
    characters = [c for c in assigned(7) if not unicodedata.combining(c)]  # see below

    def piece():
        kind = rng.random()
        if kind < 0.5:
            return rng.choice(PIECES)
        if kind < 0.6:
            return rng.choice(characters)
        if kind < 0.75:
            return chr(rng.randint(0, 0x36F))  # Latin and what combines with it
        return rng.choice("abcdefghijklmnopqrstuvwxyz'")

    texts = ["".join(piece() for _ in range(rng.randint(0, 30))) for _ in range(5000)]
    check_texts(pair, texts)


def test_pieces_side_by_side(pair):
    check_texts(pair, [a + b + a for a in PIECES for b in PIECES])


def test_some_characters_between_letters_and_alone(pair):
    check_texts(pair, [f"a{c}b {c}1{c}" for c in assigned(40)])


@pytest.mark.slow
def test_all_characters_between_letters_and_alone(pair):
    check_texts(pair, [f"a{c}b {c}1{c}" for c in assigned(1)])


def test_young_marks_in_the_wrong_order_are_put_right_by_us_alone(pair):
    """The one known difference within Python's Unicode; in the right order there is none."""
    ours, theirs = pair
    young, old = "\U00010d24", "\u093c"  # classes 230 and 7, the lower one goes first
    assert ours.tokens(young + old) == ours.tokens(old + young)
    assert ours.tokens(young + old) != theirs(young + old)["input_ids"][1:-1]
    check_texts(pair, [old + young, young, "a" + young])


@pytest.mark.parametrize("words", [0, 1, 74, 75, 76, 200])
def test_context_and_truncation(pair, words):
    ours, theirs = pair
    text = "a " * words
    want = theirs(text, padding="max_length", truncation=True, max_length=77)["input_ids"]
    np.testing.assert_array_equal(ours([text])[0], want)


def test_overlapping_merges_go_by_rank_then_place(tmp_path):
    """Pairs that could be joined in two ways, and a merge that outranks the one it needs."""
    merges = [("ab", "a"), ("a", "b"), ("b", "a</w>"), ("aba", "b"), ("a", "a"), ("b", "b")]
    known = vocabulary.make_vocabulary(merges)
    ours = ClipTokenizer(known, merges)
    theirs = transformers.CLIPTokenizer(vocab=known, merges=merges)
    rng = random.Random(1)
    texts = ["".join(rng.choice("ab") for _ in range(rng.randint(1, 40))) for _ in range(2000)]
    check_texts((ours, theirs), texts)


def ids_for(config, count=6, seed=0):
    """Random ids with ends at different places, the last row without room to spare."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, config.vocabulary - 2, (count, config.context)).astype(np.int32)
    ids[:, 0] = config.vocabulary - 2
    for row, end in zip(ids, np.linspace(1, config.context - 1, count).astype(int), strict=True):
        row[end:] = config.vocabulary - 1
    return ids


def check_vectors(ours, theirs):
    theirs = theirs.detach().numpy()
    error, spread = float(np.abs(ours - theirs).max()), float(theirs.std())
    print(f"text vectors: max abs error {error:.1e}, std {spread:.2f}")
    assert 0.2 < spread < 5 and theirs.std(0).mean() > 0.2, "texts hardly differ"
    assert error <= LIMIT * max(1.0, spread), f"max abs error {error:.1e}"


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_debug_tower(activation, require_torch):
    config = ClipTextConfig(600, 16, 16, 32, 2, 2, 8, activation)
    model = clip_text.build(config)
    params = import_clip_text({k: v.numpy() for k, v in model.state_dict().items()}, config)
    ids = ids_for(config)
    with torch.inference_mode():
        want = model(torch.from_numpy(ids).long()).text_embeds
    check_vectors(encode(params, config, ids, batch=4), want)
    other = {"quick_gelu": "gelu", "gelu": "quick_gelu"}[activation]
    control = encode(params, dataclasses.replace(config, activation=other), ids, batch=4)
    assert np.abs(control - want.numpy()).max() > 100 * LIMIT, "the limit would not tell them apart"


def test_vit_b_32_tower(require_torch):
    """The true size; also that every tensor is asked for, and none that is not there."""
    model = clip_text.build(VIT_B_32)
    tensors = {k: v.numpy() for k, v in model.state_dict().items()}
    assert {r.key: r.shape for r in tables.table(VIT_B_32)} == {
        k: v.shape for k, v in tensors.items()
    }
    params = import_clip_text(tensors, VIT_B_32)
    shapes = jax.tree.map(lambda x: x.shape, param_shapes(VIT_B_32))
    assert jax.tree.map(lambda x: x.shape, params) == shapes
    ids = ids_for(VIT_B_32, 3)
    with torch.inference_mode():
        want = model(torch.from_numpy(ids).long()).text_embeds
    check_vectors(encode(params, VIT_B_32, ids, batch=3), want)


@pytest.mark.parametrize("form", ["safetensors", "split", "pickle", "whole", "old pickle"])
def test_files_of_save_pretrained(form, tmp_path, require_torch):
    config = debug_config()
    whole = form in ("whole", "old pickle")
    model = clip_text.build_whole(config) if whole else clip_text.build(config)
    model.save_pretrained(tmp_path, **({"max_shard_size": "20KB"} if form == "split" else {}))
    if "pickle" in form:
        (tmp_path / "model.safetensors").unlink()
        state = dict(model.state_dict())
        if form == "old pickle":  # the buffer that releases before 2023 stored
            state["text_model.embeddings.position_ids"] = torch.arange(config.context)[None]
        torch.save(state, tmp_path / "pytorch_model.bin")
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (form == "split")
    loaded = load_clip_text(tmp_path)
    assert loaded.config == config
    want = import_clip_text(
        select_text({k: v.numpy() for k, v in model.state_dict().items()}), config
    )
    jax.tree.map(np.testing.assert_array_equal, loaded.params, want)
