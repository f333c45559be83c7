"""One browser for each module of tests, and a place to open tabs in."""

import pytest

from tests.annotation import browser


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as found:
        yield found


@pytest.fixture
def workplace(chromium, tmp_path):
    place = browser.Workplace(chromium, tmp_path)
    yield place
    place.close()
