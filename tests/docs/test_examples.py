"""Every Python example of every page runs, and every JSON block is a prompts file that is taken."""

import subprocess
import sys

import pytest

from surgjax.inference import prompt_file
from tests.docs.pages import PAGES, ROOT, blocks, name_of


def _blocks(language):
    return [
        pytest.param(block, id=f"{name_of(page)}-{number}")
        for page in PAGES
        if page.parent.parent.name != "tfds_builders"  # JSON there is not a prompts file
        for number, block in enumerate(blocks(page, language))
    ]


@pytest.mark.parametrize("block", _blocks("json"))
def test_prompts_file_is_valid(block, tmp_path):
    path = tmp_path / "prompts.json"
    path.write_text(block)
    assert prompt_file.read_prompts(path, width=1280, height=720, num_frames=100).objects


@pytest.mark.parametrize("block", _blocks("python"))
def test_python_example_runs(block):
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
