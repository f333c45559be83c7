"""CLIP's tokenizer and text tower against stored outputs of transformers, without torch.

Axes:    as in make_clip_text.py.
Units:   absolute errors on values of order 1.
Errors:  AssertionError naming the text or the stage.
Source:  clip_text_debug.npz, written by make_clip_text.py with transformers 5.23.
Differs: debug size only; ViT-B/32 is compared in tests/parity.
"""

import functools
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from surgjax.checkpoints.clip_import import import_clip_text, infer_clip_config
from surgjax.text.clip_text_encoder import ClipTextEncoder, debug_config, encode
from surgjax.text.clip_tokenizer import ClipTokenizer

pytestmark = pytest.mark.golden
LIMIT = 1e-5


@functools.cache
def golden():
    with np.load(Path(__file__).with_name("clip_text_debug.npz")) as file:
        return dict(file)


def tower():
    prefix = "weight/"
    tensors = {k.removeprefix(prefix): v for k, v in golden().items() if k.startswith(prefix)}
    config = infer_clip_config(tensors, {"num_attention_heads": 2})
    assert config == debug_config(config.vocabulary)
    return config, import_clip_text(tensors, config)


def test_token_ids(tmp_path):
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_text(str(golden()[name]), encoding="utf-8")
    tokenizer = ClipTokenizer.from_folder(tmp_path)
    about = json.loads(str(golden()["about"]))
    for text, want in zip(about["texts"], about["whole"], strict=True):
        assert [tokenizer.start_id, *tokenizer.tokens(text), tokenizer.end_id] == want, text
    np.testing.assert_array_equal(tokenizer(about["texts"], 16), golden()["ids"])


def test_hidden_states_and_text_vectors():
    config, params = tower()
    model, ids = ClipTextEncoder(config), golden()["ids"]
    hidden = model.apply({"params": params}, ids, method=lambda m, x: m.text_model(x))
    vectors = jax.jit(lambda p, x: model.apply({"params": p}, x))(params, ids)
    for name, ours in (("hidden", hidden), ("vectors", vectors)):
        want = golden()[name]
        assert want.std() > 0.3, f"{name}: stored values hardly vary"
        np.testing.assert_allclose(np.asarray(ours), want, atol=LIMIT, rtol=0, err_msg=name)


def test_shorter_context_gives_the_same_vectors():
    """`encode` leaves out positions after the longest text; here half of the context."""
    config, params = tower()
    ids, want = golden()["ids"], golden()["vectors"]
    short = (ids == config.vocabulary - 1).argmax(1) < 8
    assert 0 < short.sum() < len(ids)
    ours = encode(params, config, ids[short, :8], batch=4)
    np.testing.assert_allclose(ours, want[short], atol=LIMIT, rtol=0)
