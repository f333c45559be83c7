"""Settings of every test: CPU, strict broadcasting, full precision, few threads."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path

# Before jax is imported. Two xdist workers on two cores each keep to one thread; more would only
# fight, and torch's own pool on top of XLA's slows both down several times.
os.environ["JAX_PLATFORMS"] = os.environ.get("SURGJAX_TEST_PLATFORM", "cpu")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false"

# Compiling takes longer than running. Workers, child processes and the next run share one cache,
# and no test touches the user's.
_CACHE = str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "compiled")
os.environ["SURGJAX_CACHE_DIR"] = os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")


def pytest_sessionstart():
    """With SURGJAX_REQUIRE_PARITY=1 a missing reference ends the run; otherwise its tests skip."""
    if os.environ.get("SURGJAX_REQUIRE_PARITY") != "1":
        return
    missing = [name for name in ("torch", "transformers", "trackeval") if find_spec(name) is None]
    if missing:
        pytest.exit(
            f"SURGJAX_REQUIRE_PARITY=1, but {' and '.join(missing)} cannot be imported; "
            "`make test WITH_TORCH=1` installs the reference.",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )


@pytest.fixture(scope="session")
def require_torch():
    """The torch module, on one thread; the test skips where it is not installed."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return torch


@pytest.fixture(scope="module")
def quick_compiling():
    """Programs of the module are compiled with few optimisations; for long programs that run a few
    times on little, which take several times as long to compile as to run."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def pytest_collection_modifyitems(items):
    if any(device.platform != "cpu" for device in jax.devices()):
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no accelerator"))


@pytest.fixture(scope="session")
def aside():
    """Runs each call in a process of its own, as two launchers may define the same flag.

    Each is a fork of one process that has imported what every tool imports, which costs seconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["absl.flags", "flax.linen", "optax", "orbax.checkpoint"])
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as processes:
        yield processes
