"""Every command, link, Python example and prompts file in README and docs is checked."""

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from surgjax.inference import prompt_file

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "WORKSPACE.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "experiments").glob("*/README.md")),
    ROOT / "tfds_builders" / "README.md",
    *sorted((ROOT / "tfds_builders").glob("*/README.md")),
]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")


def _blocks(language):
    return [
        pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        if page.parent.parent.name != "tfds_builders"  # JSON there is not a prompts file
        for number, (name, block) in enumerate(_FENCE.findall(page.read_text()))
        if name == language
    ]


def _commands():
    """Commands by tool: those in bash blocks, and those named in running text and tables."""
    tools = {}
    for page in PAGES:
        text = page.read_text()
        blocks = [block for name, block in _FENCE.findall(text) if name == "bash"]
        inline = re.findall(r"`((?:make|python -m) [^`]+)`", _FENCE.sub("", text))
        for line in "\n".join([*blocks, *inline]).replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                tool = words[2] if words[:2] == ["python", "-m"] else words[0]
                commands = tools.setdefault(tool, [])
                if words not in commands:
                    commands.append(words)
    return [pytest.param(commands, id=tool) for tool, commands in sorted(tools.items())]


# Imports the module, so that its flags exist, and parses each command afresh: unknown flags, bad
# values and missing required flags raise. A bare `python -m experiments.track` only names the tool.
_PARSE = """
import importlib, json, sys
from absl import flags
_, name, commands = sys.argv
module = importlib.import_module(name)
for arguments in json.loads(commands):
    if hasattr(module, "_parser"):  # argparse
        module._parser().parse_args(arguments)
    elif arguments:
        for flag in list(flags.FLAGS):
            flags.FLAGS[flag].unparse()
            if flag.startswith("config."):  # overrides are flags of the command before
                delattr(flags.FLAGS, flag)
        sys.argv = [name, *arguments]  # where --config looks for --config.NAME
        flags.FLAGS(sys.argv)
"""


def _extras():
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXTRAS":
            return set(ast.literal_eval(node.value))
    raise AssertionError("setup.py has no EXTRAS")


def _check(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.parametrize("commands", _commands())
def test_commands_parse(commands):
    match commands[0]:
        case ["python", "-m", module, *_] if module.startswith("experiments."):
            arguments = json.dumps([words[3:] for words in commands])
            _check([sys.executable, "-c", _PARSE, module, arguments])
            return
        case ["python", "-m", module, *_]:  # argparse
            _check([sys.executable, "-m", module, "--help"])
            return
    for words in commands:
        match words:
            case ["make", *targets]:
                _check(["make", "--dry-run", *targets])
            case ["pip", "install", "-c", "constraints.txt", "-e", target]:
                named = re.fullmatch(r"\.(?:\[([a-z,]+)\])?", target)
                assert named, words
                assert set((named[1] or "dev").split(",")) <= _extras(), words
            case ["git", "clone", *_] | ["cd", _] | ["source", ".venv/bin/activate"]:
                pass
            case _:
                pytest.fail(f"no rule checks this command: {words}")


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target, anchor in _LINK.findall(page.read_text()):
        if "://" not in target:
            aim = page.parent / target if target else page
            assert aim.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in _anchors(aim), f"{page.name}: no heading #{anchor}"
