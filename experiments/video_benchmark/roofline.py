"""The fastest matrix product that was met in this run: what speed is measured against.

Path:    device -> [roofline] -> report
Units:   operations per second; a multiplication with its addition counts as two.
Source:  ours.
Differs: no data sheet: the best of several square products, here and now, in the run's precision
         (bf16 operands sum in float32).
"""

import time
from collections.abc import Callable

SIZES = (512, 1024, 2048)
ACCELERATOR_SIZES = (2048, 4096, 8192)
REPEATS = 4


def best_rate(product: Callable[[], object], size: int, repeats: int = REPEATS) -> float:
    """Operations per second of the fastest of some calls, after one that does not count."""
    product()
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        product()
        spent.append(time.perf_counter() - start)
    return 2.0 * size**3 / min(spent)


def matmul_peak(precision: str) -> float:
    """The best rate of JAX on its device."""
    import jax  # not with the module: peers use `best_rate` where JAX must not be loaded
    import jax.numpy as jnp

    from surgjax.inference.devices import has_accelerator

    dtype = jnp.bfloat16 if precision == "bf16" else jnp.float32

    def dot(x):
        precise = None if precision == "bf16" else "highest"
        return jnp.matmul(x, x, precision=precise, preferred_element_type=jnp.float32)

    compiled, rates = jax.jit(dot), []
    for size in ACCELERATOR_SIZES if has_accelerator() else SIZES:
        x = jax.random.normal(jax.random.key(0), (size, size), jnp.float32).astype(dtype)
        rates.append(best_rate(lambda x=x: jax.block_until_ready(compiled(x)), size))
    return max(rates)
