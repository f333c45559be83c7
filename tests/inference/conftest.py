"""One compiled debug predictor for all tests of this folder: compiling is what takes time here."""

import pytest

from surgjax.inference import ImagePredictor, VideoPredictor
from surgjax.testing import debug_config, lively_params, moving_squares

OPTIONS = {
    "causal": False,
    "track_before_first_prompt": False,
    "corrections_as_conditioning": True,
    "clear_non_cond_mem_around_input": False,
    "fill_hole_area": 0,
    "non_overlap_masks": False,
    "keep_records": True,
}


@pytest.fixture(scope="session")
def shared_predictor():
    config = debug_config()
    return VideoPredictor(lively_params(config), config)


@pytest.fixture
def predictor(shared_predictor):
    """The shared predictor with its options at their defaults; a test may set attributes."""
    for name, value in OPTIONS.items():
        setattr(shared_predictor, name, value)
    return shared_predictor


@pytest.fixture(scope="session")
def image_predictor():
    config = debug_config()
    return ImagePredictor(lively_params(config), config)


@pytest.fixture(scope="session")
def video():
    return moving_squares(20)
