"""The lines a user sees while waiting, and the two refusals behind them."""

import io

import jax
import pytest

from surgjax import versions
from surgjax.inference import compilation_cache, devices, progress


def test_device_banner_names_platform_and_jax():
    line = devices.describe_devices()
    assert jax.__version__ in line
    assert jax.devices()[0].platform in line


def test_no_accelerator_is_an_error_with_a_hint(monkeypatch):
    monkeypatch.setattr(devices, "has_accelerator", lambda: False)
    monkeypatch.setattr(devices, "unused_gpu", lambda: False)
    with pytest.raises(devices.DeviceError, match="an accelerator is required, and JAX found only"):
        devices.require_accelerator()
    monkeypatch.setattr(devices, "unused_gpu", lambda: True)
    with pytest.raises(devices.DeviceError, match=r"driver is present: .*surgjax\[cuda\]"):
        devices.require_accelerator()
    monkeypatch.setattr(devices, "has_accelerator", lambda: True)
    devices.require_accelerator()


def test_one_gpu_of_several_for_each_process(tmp_path, monkeypatch):
    gpus = str(tmp_path)
    for name in ("0000:01", "0000:02"):
        (tmp_path / name).mkdir()
    shown = {"": 0, "3": 1, "0,1,5": 3}
    for text, count in shown.items():
        assert devices.visible_gpus({"CUDA_VISIBLE_DEVICES": text}, gpus) == count
    assert devices.visible_gpus({}, gpus) == 2 and devices.visible_gpus({}, gpus + "/none") == 0
    assert devices.visible_gpus({"JAX_PLATFORMS": "cpu"}, gpus) == 0
    assert devices.visible_gpus({"JAX_PLATFORMS": "cuda,cpu"}, gpus) == 2
    updates = []
    monkeypatch.setattr(jax.config, "update", lambda *change: updates.append(change))
    for count in (0, 1, 4):
        monkeypatch.setattr(devices, "visible_gpus", lambda count=count: count)
        devices.use_one_gpu(6)
    assert updates == [("jax_cuda_visible_devices", "2")]


@pytest.mark.parametrize("error", [RuntimeError("no cuda"), AssertionError()])
def test_a_platform_that_cannot_start_is_named(monkeypatch, error):
    def devices_():
        raise error

    monkeypatch.setattr(jax, "devices", devices_)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    for ask in (devices.describe_devices, devices.require_accelerator):
        with pytest.raises(devices.DeviceError, match="JAX_PLATFORMS='cuda'"):
            ask()


def test_unused_gpu_needs_a_driver_and_no_accelerator(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "has_accelerator", lambda: False)
    assert not devices.unused_gpu([str(tmp_path / "none")])
    assert devices.unused_gpu([str(tmp_path)])
    monkeypatch.setattr(devices, "has_accelerator", lambda: True)
    assert not devices.unused_gpu([str(tmp_path)])


def test_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SURGJAX_CACHE_DIR", str(tmp_path / "c"))
    assert compilation_cache.cache_folder() == tmp_path / "c"
    monkeypatch.delenv("SURGJAX_CACHE_DIR")
    monkeypatch.setattr(compilation_cache.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compilation_cache.cache_folder() == tmp_path / "surgjax" / "compiled"


def test_cache_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SURGJAX_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(OSError, match="exists"):
        compilation_cache.enable_cache()


def test_progress_says_speed_and_time_left():
    now = [0.0]
    stream = io.StringIO()
    bar = progress.Progress("tracking", 100, stream, clock=lambda: now[0])
    for _ in range(20):
        now[0] += 1.0
        bar.step()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "tracking: 5/100 frames, 1.0 frames/s, 1:35 left"
    assert len(lines) == 4  # a log file gets a line every five seconds
    now[0] += 3600
    bar.finish()
    assert (
        stream.getvalue().splitlines()[-1].startswith("tracking: 20/100 frames, 0.0 frames/s, 4:")
    )


def test_progress_of_a_whole_loop_says_how_long_it_took():
    now = [0.0]
    stream = io.StringIO()
    bar = progress.Progress("drawing", 2, stream, clock=lambda: now[0])
    for _ in range(2):
        now[0] += 0.5
        bar.step()
    bar.finish()
    assert stream.getvalue() == "drawing: 2/2 frames, 2.0 frames/s, 0:01 in all\n"


def test_a_frame_that_took_compiling_is_no_speed():
    lines = {1: "masks: 1/1 batches", 3: "masks: 3/3 batches, 2.0 batches/s, 0:01 in all"}
    for total, last in lines.items():
        now, stream = [0.0], io.StringIO()
        bar = progress.Progress(
            "masks", total, stream, clock=lambda now=now: now[0], unit="batches"
        )
        now[0] += 60
        bar.first_step()
        for _ in range(total - 1):
            now[0] += 0.5
            bar.step()
        bar.finish()
        assert stream.getvalue() == f"{last}\n"


def test_versions_cover_every_package():
    found = versions.package_versions()
    assert found["jax"] == jax.__version__
    assert set(found) == {"python", "surgjax", *versions.PACKAGES}
    assert all(found.values())
