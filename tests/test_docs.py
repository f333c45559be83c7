"""Every command, link, Python example and prompts file in README and docs is checked."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from surgjax.inference import prompt_file

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "WORKSPACE.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")


def _blocks(language):
    return [
        pytest.param(block, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (name, block) in enumerate(_FENCE.findall(page.read_text()))
        if name == language
    ]


def _commands():
    """Each command once: those in bash blocks, and those named in running text and tables."""
    found = {}
    for page in PAGES:
        text = page.read_text()
        blocks = [block for name, block in _FENCE.findall(text) if name == "bash"]
        inline = re.findall(r"`((?:make|python -m) [^`]+)`", _FENCE.sub("", text))
        for line in "\n".join([*blocks, *inline]).replace("\\\n", " ").splitlines():
            words = tuple(shlex.split(line, comments=True))
            if words:
                found.setdefault(words, page.name)
    return [pytest.param(words, id=f"{page}: {' '.join(words)}") for words, page in found.items()]


# Imports the module, so that its flags exist, and parses the given ones: unknown flags and bad
# values raise. A bare `python -m experiments.track` only names the tool, so nothing is required.
_PARSE = """
import importlib, sys
from absl import flags
importlib.import_module(sys.argv[1])
if sys.argv[2:]:
    flags.FLAGS(sys.argv[1:])
"""


def _extras():
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXTRAS":
            return set(ast.literal_eval(node.value))
    raise AssertionError("setup.py has no EXTRAS")


@pytest.mark.parametrize("words", _commands())
def test_command_parses(words):
    match words:
        case ["make", *targets]:
            command = ["make", "--dry-run", *targets]
        case ["python", "-m", module, *arguments] if module.startswith("experiments."):
            command = [sys.executable, "-c", _PARSE, module, *arguments]
        case ["python", "-m", module, *_]:  # argparse
            command = [sys.executable, "-m", module, "--help"]
        case ["pip", "install", "-c", "constraints.txt", "-e", target]:
            named = re.fullmatch(r"\.(?:\[([a-z,]+)\])?", target).group(1)
            assert set(named.split(",") if named else ()) <= _extras()
            return
        case ["git", "clone", *_] | ["cd", _] | ["source", ".venv/bin/activate"]:
            return
        case _:
            pytest.fail(f"no rule checks this command: {words}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


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


def _anchors(page):
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, anchor in _LINK.findall(page.read_text()):
        if "://" not in target:
            aim = page.parent / target if target else page
            assert aim.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in _anchors(aim), f"{page.name}: no heading #{anchor}"
