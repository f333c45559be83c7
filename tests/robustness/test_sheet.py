"""The sheet has a tile for every corruption and severity; bad flags name themselves."""

import numpy as np
import pytest
from PIL import Image

from surgjax.robustness import CORRUPTIONS, SURGICAL, sheet


@pytest.mark.parametrize(("extra", "rows"), [([], 18), (["--surgical"], 6)])
def test_sheet_is_written(extra, rows, tmp_path, capsys):
    frame = tmp_path / "frame.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(frame)
    target = tmp_path / "sheet.png"
    sheet.main(["--output", str(target), "--image", str(frame), "--tile", "96", *extra])
    with Image.open(target) as page:
        pixels = np.asarray(page.convert("RGB"))
    assert f"{pixels.shape[1]} x {pixels.shape[0]}" in capsys.readouterr().out
    step = 96 + 2
    head, left = pixels.shape[0] - rows * step, pixels.shape[1] - 6 * step
    tiles = [
        [pixels[head + r * step :, left + c * step :][:96, :96] for c in range(6)]
        for r in range(rows)
    ]
    assert all((row[0] == tiles[0][0]).all() for row in tiles)
    assert all((tile != row[0]).any() for row in tiles for tile in row[2:])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["frame.png", "sheet.png"]
    assert rows == len(SURGICAL if extra else CORRUPTIONS)


def test_a_generated_frame_needs_no_file():
    assert sheet.frame_from(None, 0).shape == (256, 256, 3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "{}/sheet.jpg"], "expected a .png"),
        (["--output", "{}/none/sheet.png"], "in a folder that exists"),
        (["--output", "{}/sheet.png", "--tile", "4"], "--tile=4: expected 16 pixels or more"),
        (["--output", "{}/sheet.png", "--seed", "-1"], "--seed=-1: expected 0 or more"),
        (["--output", "{}/sheet.png", "--image", "{}/no.png"], "no.png"),
    ],
)
def test_refusals(flags, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        sheet.main([flag.format(tmp_path) for flag in flags])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
