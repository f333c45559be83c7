"""Every command, Python example and prompts file in README and docs is checked."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "WORKSPACE.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks(language):
    return [
        pytest.param(block, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (name, block) in enumerate(_FENCE.findall(page.read_text()))
        if name == language
    ]


def _commands():
    """Each command once, with continued lines joined and comments dropped."""
    found = {}
    for block in _blocks("bash"):
        for line in block.values[0].replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                found.setdefault(tuple(words), block.id)
    return [pytest.param(words, id=f"{page}: {' '.join(words)}") for words, page in found.items()]


# Imports the module, so that its flags exist, and parses the given ones: unknown flags, bad values
# and missing required flags all raise.
_PARSE = """
import importlib, sys
from absl import flags
importlib.import_module(sys.argv[1])
flags.FLAGS(sys.argv[1:])
"""


@pytest.mark.parametrize("words", _commands())
def test_command_parses(words):
    words = [word for word in words if not re.fullmatch(r"[A-Z_]+=\S*", word)] or list(words)
    match words:
        case ["make", *targets]:
            command = ["make", "--dry-run", *targets]
        case ["python", "-m", module, *arguments] if module.startswith("experiments."):
            command = [sys.executable, "-c", _PARSE, module, *arguments]
        case ["python", "-m", module, *arguments] if module.startswith("tests."):
            command = [sys.executable, "-m", module, *arguments, "--help"]
        case ["git", "clone", *_] | ["cd", _] | ["pip", "install", *_] | ["source", _]:
            return
        case _:
            pytest.fail(f"no rule checks this command: {words}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", _blocks("json"))
def test_prompts_file_is_valid(block):
    assert json.loads(block)["objects"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_of_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
