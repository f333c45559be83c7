"""One browser for each module of tests, and a place to open tabs in; small sessions."""

import pytest

from tests.annotation import browser, small


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as found:
        yield found


@pytest.fixture
def workplace(chromium, tmp_path):
    place = browser.Workplace(chromium, tmp_path)
    yield place
    place.close()


@pytest.fixture(scope="session")
def predictor():
    return small.predictor()


@pytest.fixture
def video(tmp_path):
    return small.write_frames(tmp_path / "frames")


@pytest.fixture
def session(predictor, video, tmp_path):
    opened = small.open_session(predictor, video, tmp_path / "out")
    yield opened
    opened.close()
