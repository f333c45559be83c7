"""The benchmark names every kind of truth and refuses presets that do not exist."""

import pytest

from surgjax.synthetic import benchmark


def test_every_kind_of_truth_has_a_line(capsys):
    benchmark.main(["--presets", "simple", "--clips", "1", "--frames", "2", "--size", "48"])
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 1 + 1 + 3 + 4 + 1
    for line in lines[1:]:
        assert line.startswith("simple") and float(line.split()[-1]) > 0
    assert {"depth", "flow", "amodal", "track_ids", "all"} <= set(" ".join(lines).split())


def test_unknown_presets_are_refused(capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--presets", "fast"])
    assert "--presets: expected some of" in capsys.readouterr().err
