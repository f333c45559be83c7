"""Each notebook is a pair in sync, without outputs, and runs from top to bottom in a fresh kernel.

They run at the size of SURGJAX_NOTEBOOK_DEBUG=1; `make notebooks` runs them as a reader would.
"""

import importlib.util
import math
import re
import sys
from pathlib import Path

import IPython
import jupytext
import nbformat
import numpy as np
import pytest
from PIL import Image

import surgjax
from surgjax.inference.frames import open_video
from surgjax.inference.prompt_file import read_prompts
from tests.notebooks import running

METADATA = {
    "jupytext": {"formats": "ipynb,py:percent"},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
}
each = pytest.mark.parametrize("name", running.NAMES)


def _notebook(name):
    return nbformat.read(running.FOLDER / f"{name}.ipynb", as_version=4)


def _cell(name, text):
    """The only code cell that holds the text."""
    cells = [c.source for c in _notebook(name).cells if c.cell_type == "code"]
    (cell,) = (source for source in cells if text in source)
    return cell


def test_every_notebook_is_known():
    for suffix in ("py", "ipynb"):
        found = {path.stem for path in running.FOLDER.glob(f"*.{suffix}")}
        assert found == set(running.NAMES)


@each
def test_the_pair_is_in_sync(name):
    paired = jupytext.read(running.FOLDER / f"{name}.py")
    cells = [(c.cell_type, c.source) for c in _notebook(name).cells]
    assert cells == [(c.cell_type, c.source) for c in paired.cells], (
        f"run: jupytext --update --to ipynb notebooks/{name}.py"
    )


@each
def test_outputs_are_stripped_and_metadata_minimal(name):
    notebook = _notebook(name)
    nbformat.validate(notebook)
    assert notebook.metadata == METADATA
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None


@each
def test_the_first_cell_says_what_and_how_long(name):
    first = _notebook(name).cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    text = " ".join(first.source.split())
    for words in ("It takes about", "othing is downloaded"):
        assert words in text
    assert "**generated**" in text or "**random weights**" in text


@each
def test_settings_are_in_one_cell(name):
    cell = _cell(name, running.DEBUG)
    for setting in ("REQUIRE_ACCELERATOR = False", "REPOSITORY = ", "WORK = Path("):
        assert setting in cell
    others = [c.source for c in _notebook(name).cells if c.cell_type == "code"]
    sizes = re.compile(r"if DEBUG else")
    assert not any(sizes.search(source) for source in others if source != cell)


@each
def test_nothing_is_fetched_but_the_package(name):
    code = "\n".join(c.source for c in _notebook(name).cells if c.cell_type == "code")
    assert not re.search(r"https?://|\burllib\b|\brequests\b|\bwget\b|\bcurl\b", code)
    assert len(re.findall(r"pip", code)) == 1


@each
def test_install_line_runs_only_where_surgjax_is_missing(name, monkeypatch, tmp_path):
    """One visible line, of the repository; never in a clone, nor where surgjax is there."""
    cell, ran = _cell(name, "run_line_magic"), []

    class Shell:
        def run_line_magic(self, *words):
            ran.append(words)

    monkeypatch.setattr(IPython, "get_ipython", Shell)
    monkeypatch.chdir(tmp_path)
    settings = {"Path": Path, "REPOSITORY": "REPOSITORY"}
    exec(cell, dict(settings))
    assert not ran

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    exec(cell, dict(settings))
    ((magic, line),) = ran
    assert magic == "pip"
    assert re.fullmatch(r"install 'surgjax\[viz(,cuda)?\] @ git\+REPOSITORY'", line)  # not quiet

    monkeypatch.chdir(running.FOLDER)
    with pytest.raises(RuntimeError, match=r"\.venv"):
        exec(cell, dict(settings))
    assert len(ran) == 1


@each
def test_a_cpu_alone_is_said_aloud_or_refused(name, monkeypatch, tmp_path, capsys):
    from surgjax.inference import devices

    monkeypatch.setattr(devices, "has_accelerator", lambda: False)
    monkeypatch.chdir(tmp_path)
    cell = _cell(name, "REQUIRE_ACCELERATOR:")
    settings = {"WORK": Path("results")}
    exec(cell, {**settings, "REQUIRE_ACCELERATOR": False})
    assert "ONLY A CPU" in capsys.readouterr().out
    with pytest.raises(devices.DeviceError):
        exec(cell, {**settings, "REQUIRE_ACCELERATOR": True})


def _check_track(result, work):
    assert 0.4 < result["J&F before"] < result["J&F after"] < 1  # the correction helps
    assert result["masks"] == 48
    clip = open_video(Path(surgjax.__file__).parent / "assets" / "demo_clip.mp4")
    prompts = read_prompts(work / "prompts.json", clip.width, clip.height, len(clip))
    assert prompts.frames == [0, 12]
    overlay = open_video(work / "overlay.mp4")
    assert (len(overlay), overlay.height) == (48, clip.height)


def _check_evaluate(result, work):
    assert result["empty"]["JF"] < result["frozen"]["JF"] < result["nano"]["JF"] < 1
    assert result["nano"]["JF"] > 0.5
    page = (work / "report" / "report.html").read_text()
    assert "Worst frames" in page and "Comparison" in page


def _check_fine_tune(result, work):
    assert len(result["losses"]) == 2
    assert all(math.isfinite(loss) and loss > 0 for loss in result["losses"])
    assert 0 <= result["before"] < 1 and 0 <= result["after"] < 1  # a toy of random weights
    changed = result["changed"]
    assert changed["sam_mask_decoder"] > 0.9
    assert changed["image_encoder"] == changed["memory_attention"] == 0  # decoder_only
    assert (work / "run" / "export").is_dir()


def _check_sam2s(result, work):
    assert result["objects"] >= 1
    kept = result["kept for long"]
    assert kept["recent"] == 0 and kept["divemem"] >= 1 and kept["random_long"] >= 1
    for row in result["scores"]:
        assert 0 < row["JF"] < 1  # at this size little is found


def _check_import(result, work):
    assert result["model"] == "2.1 debug" and result["tensors"] > 100
    assert result["round trip is exact"] and result["pixels that differ"] == 0
    refused = result["refused"]
    assert re.search(
        r"1 missing.*memory_attention\.norm\.weight", refused["a tensor is missing"], re.S
    )
    assert re.search(r"1 unexpected.*my_head\.weight", refused["a tensor too many"], re.S)
    assert re.search(r"1 of another shape.*\(3,\)", refused["another shape"], re.S)
    assert result["nano J"] > 0.5
    assert [path.name for path in work.iterdir()] == ["result.json"]  # the big files are gone


CHECKS = dict(
    zip(
        running.NAMES,
        (_check_track, _check_evaluate, _check_fine_tune, _check_sam2s, _check_import),
        strict=True,
    )
)


@each
def test_it_runs_from_top_to_bottom(name, tmp_path, capsys):
    done = running.execute(name, tmp_path, debug=True, timeout=900)
    with capsys.disabled():
        print(f"\n{name}: {done.wall_seconds:.0f} s, {done.cpu_seconds:.0f} s of CPU", end=" ")
    CHECKS[name](done.result, tmp_path / "results" / name)
    outputs = [o for c in done.notebook.cells if c.cell_type == "code" for o in c.outputs]
    pictures = [o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) >= 2
    for place, text in enumerate(pictures):
        assert _spread(text, tmp_path / f"{place}.png") > 5  # something is on it
    printed = "".join(o.text for o in outputs if o.output_type == "stream")
    assert "cpu" in printed


def _spread(text, path):
    import base64

    path.write_bytes(base64.b64decode(text))
    with Image.open(path) as picture:
        return float(np.asarray(picture.convert("L"), np.float32).std())


def test_kernels_are_of_this_interpreter(tmp_path):
    manager = running._kernel_manager(tmp_path)
    assert manager.kernel_spec.argv[0] == sys.executable
