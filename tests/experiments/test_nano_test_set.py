"""The committed test set: still the scenes whose scores the model card quotes."""

import cv2
import numpy as np
import pytest

from experiments.promptable_sam2 import nano_test_set as test_set
from surgjax.synthetic.build import HELD_OUT

MANIFEST = test_set.load()
GROUPS = MANIFEST["groups"]
# One clip of each preset that has some, and images of the others; the rest is slow.
HAVE_CLIPS = {group["preset"] for group in GROUPS if group["frames"] > 1}
QUICK = [
    group for group in GROUPS
    if group["seed"] == test_set.SEED + test_set.CLIP_OFFSET
    or (group["seed"] == test_set.SEED and group["preset"] not in HAVE_CLIPS)
]  # fmt: skip
SAME_VERSIONS = MANIFEST["versions"] == {"opencv": cv2.__version__, "numpy": np.__version__}
needs_versions = pytest.mark.skipif(
    not SAME_VERSIONS, reason=f"sums hold for {MANIFEST['versions']}; others may round otherwise"
)


def _name(group):
    return f"{group['preset']}-{group['seed']}-{group['frames']}"


def test_it_holds_what_the_code_says():
    found = [{k: v for k, v in group.items() if k != "sha256"} for group in GROUPS]
    assert found == list(test_set.groups())
    assert all(group["seed"] >= HELD_OUT for group in GROUPS)
    assert len({group["sha256"] for group in GROUPS}) == len(GROUPS)
    assert test_set.seeds_of(MANIFEST, "simple", clips=False) == range(12_000_000, 12_000_100)
    assert test_set.seeds_of(MANIFEST, "simple", clips=True) == range(17_000_000, 17_000_024)
    assert len(test_set.seeds_of(MANIFEST, "no such preset", clips=True)) == 0


@needs_versions
@pytest.mark.parametrize("group", QUICK, ids=_name)
def test_the_generator_still_makes_these_bytes(group):
    test_set.check(group)


@needs_versions
@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS, ids=_name)
def test_every_scene_is_as_it_was(group):
    test_set.check(group)


def test_another_scene_is_refused():
    group = {"preset": "simple", "seed": 12_000_000, "scenes": 1, "frames": 1, "sha256": "0" * 64}
    with pytest.raises(ValueError, match="simple scenes from seed 12000000 on, 1 frames: expected"):
        test_set.check(group)
