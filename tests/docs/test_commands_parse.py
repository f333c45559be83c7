"""Every command of every page is parsed: those in bash blocks, and those in running text."""

import ast
import json
import re
import subprocess
import sys

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, commands_in, prose, tool_of


def _commands():
    tools = {}
    for page in PAGES:
        inline = re.findall(r"`((?:make|python -m) [^`]+)`", prose(page).replace("\n", " "))
        for words in commands_in("\n".join([*blocks(page, "bash"), *inline])):
            commands = tools.setdefault(tool_of(words), [])
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
