"""Which device JAX computes on, said aloud.

Path:    [devices] -> launchers
Errors:  DeviceError when an accelerator is required and there is none.
Source:  ours.
Differs: JAX falls back to the CPU with at most a warning; users then wait hours for minutes' work.
         And every process takes memory on all GPUs it sees, so that of two on one machine the
         second has none; `use_one_gpu` shows each its own.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

# JAX reports at INFO that there is no TPU, which is no news; a GPU it cannot use is a warning.
logging.getLogger("jax._src.xla_bridge").setLevel(logging.WARNING)

_GPUS = "/proc/driver/nvidia/gpus"  # a folder for each
_NVIDIA = ("/proc/driver/nvidia/version", "/dev/nvidia0")


class DeviceError(RuntimeError):
    """The device that was asked for is not there."""


def _devices() -> list:
    """JAX's devices; DeviceError where the platform that was asked for cannot be started."""
    import jax

    try:
        return jax.devices()
    except (RuntimeError, AssertionError) as error:
        asked = os.environ.get("JAX_PLATFORMS", "")
        raise DeviceError(
            f"JAX cannot start the platform that JAX_PLATFORMS={asked!r} asks for ({error}). "
            "Unset JAX_PLATFORMS, or install the extra 'cuda' or 'tpu'."
        ) from error


def describe_devices() -> str:
    """One line: kind, number, platform and JAX version."""
    import jax

    devices = _devices()
    first = devices[0]
    if first.platform == "cpu":
        what = f"cpu ({os.cpu_count()} cores)"
    else:
        what = f"{len(devices)} x {first.device_kind} ({first.platform})"
    return f"{what}, jax {jax.__version__}"


def has_accelerator() -> bool:
    """True where JAX computes on anything but the CPU."""
    return any(device.platform != "cpu" for device in _devices())


def unused_gpu(signs: Sequence[str] = _NVIDIA) -> bool:
    """True where an NVIDIA driver is present but JAX does not use it."""
    return not has_accelerator() and any(Path(sign).exists() for sign in signs)


def require_accelerator() -> None:
    """Raises DeviceError where JAX would compute on the CPU."""
    if has_accelerator():
        return
    hint = (
        "An NVIDIA driver is present: install the extra 'cuda' (pip install 'surgjax[cuda]')."
        if unused_gpu()
        else "Install the extra 'cuda' or 'tpu' on a machine that has one, or leave the flag out."
    )
    raise DeviceError(
        f"an accelerator is required, and JAX found only {describe_devices()}. {hint}"
    )


def visible_gpus(environment: Mapping[str, str] | None = None, gpus: str = _GPUS) -> int:
    """How many NVIDIA GPUs JAX would see here, without starting it."""
    env = os.environ if environment is None else environment
    asked = env.get("JAX_PLATFORMS", "")
    if asked and not {"cuda", "gpu"} & set(asked.split(",")):
        return 0
    there = len(list(Path(gpus).iterdir())) if Path(gpus).is_dir() else 0
    shown = env.get("CUDA_VISIBLE_DEVICES")
    return there if shown is None else len([name for name in shown.split(",") if name.strip()])


def use_one_gpu(place: int) -> None:
    """Of several GPUs only one is for this process, the `place`-th of its machine, going round.

    Before JAX is first asked for a device; it would take memory on all of them. Where there is one
    GPU or none, nothing changes.
    """
    import jax

    count = visible_gpus()
    if count > 1:
        jax.config.update("jax_cuda_visible_devices", str(place % count))
