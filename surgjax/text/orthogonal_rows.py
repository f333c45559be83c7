"""Random orthogonal unit rows that are the same bytes on every machine.

Path:    seed -> [orthogonal_rows] -> text_bank
Axes:    rows [K, D] float32, K up to D.
Units:   none.
Errors:  ValueError for more rows than dimensions, or none.
Source:  Gram-Schmidt, done twice for each row.
Differs: a library's QR adds up in an order that depends on processor and version, and NumPy may
         change its normal draws. Here the random bits are taken raw, sums are rounded once
         (`math.fsum`), and the rest is single operations of IEEE arithmetic.
"""

import math

import numpy as np

from surgjax.typing import Float32, NDArray, typechecked


@typechecked
def orthogonal_rows(count: int, width: int, seed: int) -> Float32[NDArray, "K D"]:
    """`count` rows; the first k of them do not depend on how many follow."""
    if not 0 < count <= width:
        raise ValueError(f"{count} rows: expected 1 to {width}, the dimensions they live in.")
    bits = np.random.PCG64(seed)
    rows: list[np.ndarray] = []
    for _ in range(count):
        high = bits.random_raw(width) >> np.uint64(11)  # the 53 bits a double holds
        row = high.astype(np.float64) * 2.0**-52 - 1.0  # [-1, 1), exact
        for _ in range(2):
            for other in rows:
                row = row - _dot(row, other) * other
        rows.append(row / math.sqrt(_dot(row, row)))
    return np.stack(rows).astype(np.float32)


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return math.fsum((a * b).tolist())
