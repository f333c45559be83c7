"""A small data set in DAVIS' layout."""

import pytest

from surgjax.evaluation.davis_videos import DavisData
from tests.evaluation.tracked_folders import write_davis


@pytest.fixture
def davis(tmp_path):
    return DavisData(folder=str(write_davis(tmp_path / "davis")), split="val", fps=2.0)
