import json

import numpy as np
import pytest

from experiments import demo
from surgjax.inference.mask_writer import write_palette_png


def _write(folder, label_maps):
    folder.mkdir()
    for t, label_map in enumerate(label_maps):
        write_palette_png(folder / f"{t:05d}.png", label_map)
    return folder


def test_the_truth_scores_one_and_a_missing_object_zero(tmp_path):
    truth, names = demo.read_truth()
    perfect = demo.score(_write(tmp_path / "perfect", truth))
    assert perfect["J&F"] == 1.0
    assert {item["id"]: item["name"] for item in perfect["objects"]} == names

    first = min(names)
    lost = demo.score(_write(tmp_path / "lost", np.where(truth == first, 0, truth)))
    assert lost["objects"][0]["J"]["mean"] < 0.2  # 1 only on frames where the object is out of view
    assert [item["J&F"] for item in lost["objects"][1:]] == [1.0] * (len(names) - 1)


def test_table_names_every_object_and_the_mean(tmp_path):
    truth, names = demo.read_truth()
    lines = demo.table(demo.score(_write(tmp_path / "masks", truth))).splitlines()
    assert lines[0].split() == ["object", "J", "F", "J&F"]
    assert [line.split()[0] for line in lines[1:]] == [*map(str, names), "mean"]
    assert all(line.endswith("1.000  1.000  1.000") for line in lines[1:])


def test_whole_demo_with_random_weights(tmp_path, capsys):
    output = tmp_path / "demo_output"
    options = dict(model="nano", image_size=64, random_weights=True)
    result = demo.run(str(output), **options)
    assert json.loads((output / "scores.json").read_text()) == result
    assert 0 <= result["J&F"] < 0.9  # random weights cannot track
    assert f"J&F {result['J&F']:.3f}" in capsys.readouterr().out
    assert {"masks", "overlay.mp4", "sheet.png", "summary.json", "scores.json"} == {
        path.name for path in output.iterdir()
    }


def test_a_failed_run_leaves_no_old_score(tmp_path):
    (tmp_path / "scores.json").write_text("{}")
    with pytest.raises(ValueError, match="image_size"):
        demo.run(str(tmp_path), image_size=33)
    assert not (tmp_path / "scores.json").exists()
