"""The Chromium that tests of pages use: installed with the system, or named by SURGJAX_CHROMIUM."""

import os
import shutil

import pytest


def find_chromium():
    """Its path. None is a skip with a reason, or with SURGJAX_REQUIRE_BROWSER=1 a failure."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = [os.environ.get("SURGJAX_CHROMIUM"), *map(shutil.which, names)]
    path = next((path for path in found if path), None)
    if path is None:
        reason = "no Chromium; install it or set SURGJAX_CHROMIUM to its path"
        if os.environ.get("SURGJAX_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
