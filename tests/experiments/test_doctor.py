"""The doctor: what a healthy installation prints, and that each fault is found."""

import jax
import pytest

from experiments import doctor
from surgjax import versions
from surgjax.viz.video_writer import VideoWriter


def test_healthy_parts_say_what_they_found(tmp_path, monkeypatch):
    monkeypatch.setenv("SURGJAX_CACHE_DIR", str(tmp_path / "cache"))
    before = jax.config.jax_compilation_cache_dir
    try:
        assert str(tmp_path / "cache") in doctor.check_cache()
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
    assert f"jax {jax.__version__}" in doctor.check_versions()
    assert jax.devices()[0].platform in doctor.check_devices()
    assert "H.264 written" in doctor.check_codecs()
    assert "torch" in doctor.check_optional()


def test_a_fault_is_named_and_the_other_checks_still_run():
    def broken():
        raise OSError("no such codec")

    said = []
    count = doctor.run({"codecs": broken, "cache": lambda: "here"}, said.append)
    assert count == 1
    assert said[0] == "BROKEN codecs: OSError: no such codec"
    assert said[1] == "ok     cache: here"
    assert "1 of 2 checks failed" in said[-1]


def test_all_well_names_the_next_step():
    said = []
    assert doctor.run({"cache": lambda: "here"}, said.append) == 0
    assert said[-1].startswith("next: ")


def test_exit_status(monkeypatch):
    monkeypatch.setattr(doctor, "run", lambda: 1)
    with pytest.raises(SystemExit) as stopped:
        doctor.main(["doctor"])
    assert stopped.value.code == 1
    monkeypatch.setattr(doctor, "run", lambda: 0)
    doctor.main(["doctor"])
    with pytest.raises(SystemExit, match="unexpected argument x"):
        doctor.main(["doctor", "x"])


def test_missing_package_is_broken(monkeypatch):
    known = versions.version

    def version(package):
        return known("no-such-package" if package == "flax" else package)

    monkeypatch.setattr(versions, "version", version)
    with pytest.raises(RuntimeError, match="not installed: flax"):
        doctor.check_versions()


def test_codec_that_loses_frames_is_broken(monkeypatch):
    write = VideoWriter.write
    monkeypatch.setattr(VideoWriter, "write", lambda self, frame: self.frames or write(self, frame))
    with pytest.raises(RuntimeError, match="1 of 25 frames"):
        doctor.check_codecs()


def test_absent_weights_are_broken(monkeypatch):
    from surgjax.checkpoints import CheckpointError, loading

    monkeypatch.setattr(loading.importlib.resources, "files", lambda _: loading.Path("/nowhere"))
    with pytest.raises(
        CheckpointError, match="bundled checkpoint nano is not in this installation"
    ):
        doctor.check_weights()
