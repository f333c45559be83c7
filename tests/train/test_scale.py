"""The same losses on one device, on eight and in two processes; checkpoints that move between them.

Devices are simulated on the CPU. A loss is a sum over the rows of a batch, which each layout adds
up in its own order, in float32: one rounding is 6e-8 of the value, a sum of thousands a few times
that, and AdamW divides gradients by their size, so that rounding of small ones reaches the
parameters in full. Differences seen after four steps are below 1e-6 of the value; TOLERANCE leaves
a factor of ten. A row taken twice, another draw of noise or a lost moment is beyond 1e-3.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data import prepared
from tests.train import children, sharded_run

STEPS, TOLERANCE = 3, 1e-5


def _start(settings, results, count=1):
    """Results of `count` processes that run as one; they write them into files of this name."""
    port, files = children.free_port(), [f"{results}_{index}.json" for index in range(count)]
    commands = []
    for index, file in enumerate(files):
        processes = [f"localhost:{port}", count, index] if count > 1 else []
        text = json.dumps(settings | {"processes": processes, "results": file})
        commands.append(["-m", "tests.train.sharded_run", text])
    done = children.run_all(commands, timeout=3600 if settings["loss"] == "clip" else 300)
    assert all(child.returncode == 0 for child in done), [c.stderr[-3000:] for c in done]
    first, *others = [json.loads(Path(file).read_text()) for file in files]
    assert all(other == first for other in others)  # every process sees the same values
    return first


def _assert_same(found, wanted):
    assert found["batches"] == wanted["batches"]
    np.testing.assert_allclose(found["losses"], wanted["losses"], rtol=TOLERANCE)
    np.testing.assert_allclose(found["norms"], wanted["norms"], rtol=10 * TOLERANCE)


@pytest.mark.parametrize("loss", ["small", pytest.param("clip", marks=pytest.mark.slow)])
def test_layouts_train_alike_and_read_each_other_s_checkpoints(tmp_path, loss):
    side = 48 if loss == "small" else 64
    videos = [prepared.moving_square(f"m{i}", 6, side, side) for i in range(5)]
    folder = prepared.write_set(str(tmp_path), "squares", {"train": videos})
    settings = dict(folder=folder, steps=STEPS, loss=loss)
    saved = str(tmp_path / "saved")

    alone = sharded_run.run(**settings, layouts=[[1, 1]])[0]
    assert len(set(alone["batches"])) == STEPS + 1 and alone["pieces"] == 0
    assert np.ptp(alone["losses"]) > 100 * TOLERANCE * alone["losses"][0]  # the steps do something

    layouts = [[8, 1], [1, 8], [2, 4]]
    eight = _start(settings | dict(devices=8, layouts=layouts, save=saved), tmp_path / "eight")
    for layout, found in zip(layouts, eight, strict=True):
        _assert_same(found, alone)
        assert (found["pieces"] > 0) == (layout[1] > 1)

    two = settings | dict(devices=2, layouts=[[4, 1], [1, 4]], restore=saved)
    for found in _start(two, tmp_path / "two", count=2):
        _assert_same(found, alone)
    restored = sharded_run.run(**settings, layouts=[[1, 1]], restore=saved)[0]
    _assert_same(restored, alone)
    np.testing.assert_allclose(restored["losses"][-1], eight[-1]["losses"][-1], rtol=TOLERANCE)
