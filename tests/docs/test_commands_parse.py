"""Every command of every page is parsed: those in bash blocks, and those in running text."""

import argparse
import ast
import contextlib
import importlib
import io
import re
import runpy
import subprocess
import sys

import pytest
from absl import flags

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


class _ParsedError(Exception):
    """Raised where a tool would begin its work."""


def _with_absl(name, commands):
    for arguments in commands:
        for flag in list(flags.FLAGS):
            flags.FLAGS[flag].unparse()
            if flag.startswith("config."):  # overrides are flags of the command before
                delattr(flags.FLAGS, flag)
        sys.argv = [name, *arguments]  # where --config looks for --config.NAME
        flags.FLAGS(sys.argv)


def _with_argparse(name, commands):
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self, *arguments):
        parse(self, *arguments)
        raise _ParsedError

    argparse.ArgumentParser.parse_args = parse_and_stop  # this process is for one tool
    for arguments in commands:
        sys.argv = [name, *arguments]
        with pytest.raises(_ParsedError):
            runpy.run_module(name, run_name="__main__")


def _parse(name, commands):
    """Import a tool and parse each command afresh; no work is begun. Needs its own process.

    Unknown flags, bad values and missing required flags raise. A bare `python -m experiments.track`
    only names the tool.
    """
    commands = [arguments for arguments in commands if arguments]
    module = importlib.import_module(name)
    said = io.StringIO()  # what argparse prints before it exits
    try:
        with contextlib.redirect_stderr(said):
            if hasattr(module, "app"):
                _with_absl(name, commands)
            elif hasattr(module, "argparse") or name == "jupytext":
                _with_argparse(name, commands)
            else:  # to start it would be to run it
                assert not commands, f"{name}: neither absl's app nor argparse is in it"
    except SystemExit as error:
        raise ValueError(f"{name}: {said.getvalue()}") from error


def _extras():
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXTRAS":
            return set(ast.literal_eval(node.value))
    raise AssertionError("setup.py has no EXTRAS")


def _check(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.parametrize("commands", _commands())
def test_commands_parse(commands, aside):
    match commands[0]:
        case ["python", "-m", module, *_]:
            aside.submit(_parse, module, [words[3:] for words in commands]).result(300)
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


@pytest.mark.parametrize(
    ("tool", "command", "error", "words"),
    [
        ("experiments.track", ["--promts=x.json"], flags.UnrecognizedFlagError, "promts"),
        ("experiments.track", ["--video=x.mp4"], flags.IllegalFlagValueError, "prompts"),
        ("experiments.benchmark_train", ["--roudns=3"], ValueError, "--roudns"),
        ("surgjax.synthetic.build", ["--out=x", "--clips=many"], ValueError, "many"),
        ("surgjax.synthetic.build", ["--clips=2"], ValueError, "required: --out"),
        ("jupytext", ["--updaet", "x.ipynb"], ValueError, "--updaet"),
        ("tests.docs.pages", ["--any"], AssertionError, "neither absl's app nor argparse"),
    ],
)
def test_a_wrong_command_is_found(aside, tool, command, error, words):
    with pytest.raises(error, match=words):
        aside.submit(_parse, tool, [command]).result(300)
