"""What the tests of configs share."""

import jax
import pytest


@pytest.fixture(scope="module")
def compiled(tmp_path_factory, quick_compiling):
    """Programs of debug runs are compiled quickly and kept: most configs share them."""
    folder = tmp_path_factory.getbasetemp().parent / "compiled_debug_steps"
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(folder))
    yield
    jax.config.update("jax_compilation_cache_dir", before)
