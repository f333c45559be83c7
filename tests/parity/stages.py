"""What the tests of modules share: inputs for both sides, and the comparison.

Axes:    torch maps are NCHW and sequences (N, B, C); `nhwc` brings them to ours.
Units:   absolute errors on features whose standard deviation is asserted to be of order 1.
Errors:  AssertionError with the name of the stage and the measured error.
Source:  transformers 5.23, Sam2VideoModel with the weights of reference.lively_weights.
Differs: the modules' inputs come from the reference, so that errors do not add up; the tests
         called whole_path feed the frame alone.
"""

import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

from surgjax.structs import ImageFeatures, PointPrompts  # noqa: E402

LIMIT = 1e-4
SIZES = [("tiny", 512), ("base_plus", 512)]
both = pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}-{s[1]}")
all_three = pytest.mark.parametrize(
    "size", [*SIZES, ("tiny", 1024)], ids=lambda s: f"{s[0]}-{s[1]}"
)


def check(name, ours, theirs, order_one=True, limit=LIMIT):
    """Absolute error within the limit, and a reference that is neither tiny nor huge."""
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
    ours = np.asarray(ours)
    assert ours.shape == theirs.shape, f"{name}: {ours.shape}, expected {theirs.shape}"
    error, spread = float(np.abs(ours - theirs).max()), float(theirs.std())
    print(f"{name}: max abs error {error:.1e}, std {spread:.2f}")
    assert not order_one or 0.2 < spread < 5, f"{name}: std {spread} is not of order 1"
    assert error <= limit, f"{name}: max abs error {error:.2e} > {limit:.0e}"


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def image(size, batch=1, seed=1):
    """Smooth normalised images: noise at two scales."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((batch, 3, size // 32, size // 32)).astype(np.float32)
    x = F.interpolate(torch.from_numpy(coarse), (size, size), mode="bicubic")
    return x + 0.2 * torch.from_numpy(rng.standard_normal(x.shape).astype(np.float32))


def noise(*shape, seed=2):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def our_features(s4, s8, s16):
    return ImageFeatures(*(jnp.asarray(nhwc(x).numpy()) for x in (s4, s8, s16)))


def maps(hf, frames):
    """The three projected maps of the video model as NCHW."""
    flat = hf.get_image_features(frames, return_dict=True).fpn_hidden_states
    sizes = hf.backbone_feature_sizes
    return [
        x.permute(1, 2, 0).reshape(x.shape[1], -1, *s) for x, s in zip(flat, sizes, strict=True)
    ]


def prompts(size):
    """Five rows: click, two clicks, box, box and clicks, and nothing; padded to five slots."""
    rows = [
        ([[0.2, 0.7]], [1]),
        ([[0.2, 0.7], [0.9, 0.05]], [1, 0]),
        ([[0.1, 0.2], [0.8, 0.9]], [2, 3]),
        ([[0.1, 0.2], [0.8, 0.9], [0.4, 0.4], [0.5, 0.6], [0.0, 1.0]], [2, 3, 1, 0, -1]),
        ([], []),
    ]
    xy, labels = np.full((5, 5, 2), 7.0, np.float32), np.full((5, 5), 1, np.int32)
    valid = np.zeros((5, 5), bool)
    for i, (points, marks) in enumerate(rows):
        if points:
            xy[i, : len(points)], labels[i, : len(points)] = np.array(points) * size, marks
        valid[i, : len(points)] = True
    return rows, PointPrompts(jnp.asarray(xy), jnp.asarray(labels), jnp.asarray(valid))
