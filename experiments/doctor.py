"""Says whether this installation can track: versions, devices, codecs, cache, bundled weights.

  python -m experiments.doctor

Exit status 1 if something that tracking needs is broken; each such line starts with "BROKEN".
"""

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from absl import app

from surgjax.inference.compilation_cache import VARIABLE, cache_folder, enable_cache
from surgjax.inference.devices import describe_devices, unused_gpu
from surgjax.versions import package_versions


def check_versions() -> str:
    """Python and packages; what is missing breaks."""
    found = package_versions()
    missing = [name for name, number in found.items() if number is None]
    if missing:
        raise RuntimeError(f"not installed: {', '.join(missing)}")
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise RuntimeError(f"Python 3.11 to 3.13 is supported, {found['python']} found")
    return ", ".join(f"{name} {number}" for name, number in found.items())


def check_devices() -> str:
    """What JAX computes on, by computing."""
    import jax.numpy as jnp

    line = describe_devices()
    if float(jnp.arange(4.0).sum()) != 6.0:
        raise RuntimeError(f"{line}: wrong result of a sum")
    if unused_gpu():
        line += "; an NVIDIA driver is present but not used: pip install 'surgjax[cuda]'"
    return line


def check_codecs() -> str:
    """Writes a second of H.264 and reads it back."""
    import numpy as np

    from surgjax.inference.frames import open_video
    from surgjax.viz.video_writer import CODEC, VideoWriter

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codec.mp4"
        writer = VideoWriter(path, 25, 64, 64)
        for index in range(25):
            writer.write(np.full((64, 64, 3), 10 * index, np.uint8))
        writer.close()
        grey = [float(frame.mean()) for frame in open_video(path)]
    if len(grey) != 25 or max(abs(g - 10 * i) for i, g in enumerate(grey)) > 5:
        raise RuntimeError(f"H.264 came back wrong: {len(grey)} of 25 frames, grey {grey[:3]}...")
    return f"H.264 written ({CODEC}) and read, {time.perf_counter() - start:.1f} s"


def check_cache() -> str:
    """The folder of compiled programs, writable."""
    folder = enable_cache()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{folder} ({size / 2**20:.1f} MB; {VARIABLE} moves it)"


def check_weights() -> str:
    """The bundled nano, read and checked against its own table."""
    from surgjax import checkpoints

    loaded = checkpoints.load("nano")
    return f"{loaded.config.name}, {loaded.config.image_size} px, sha256 {loaded.sha256[:16]}"


def check_optional() -> str:
    """What only some tasks need; absence breaks nothing."""
    names = ("torch", "transformers", "tensorflow", "pytest")
    state = {name: importlib.util.find_spec(name) is not None for name in names}
    return ", ".join(f"{name} {'present' if here else 'absent'}" for name, here in state.items())


CHECKS: dict[str, Callable[[], str]] = {
    "versions": check_versions,
    "devices": check_devices,
    "codecs": check_codecs,
    "cache": check_cache,
    "weights": check_weights,
    "optional": check_optional,
}


def run(checks: dict[str, Callable[[], str]] = CHECKS, say: Callable[[str], None] = print) -> int:
    """Runs every check, also after one has failed. Returns how many are broken."""
    broken = 0
    for name, check in checks.items():
        try:
            say(f"{'ok':<7}{name}: {check()}")
        except Exception as error:  # whatever is broken here, the other lines are still wanted
            broken += 1
            where = f" ({cache_folder()})" if name == "cache" else ""
            say(f"BROKEN {name}{where}: {type(error).__name__}: {error}")
    if broken:
        say(f"{broken} of {len(checks)} checks failed; tracking will not work as it should.")
    else:
        say("next: make demo, or python -m experiments.track --help")
    return broken


def main(argv: list[str]) -> None:
    """Exit status 1 if anything is broken."""
    if len(argv) > 1:
        sys.exit(f"doctor: unexpected argument {argv[1]}.")
    if run():
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
