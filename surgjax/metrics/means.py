"""The mean that all scores over label maps share.

Path:    scores -> [mean] -> dice, endovis_type, temporal, tables
Axes:    none.
Units:   those of the values.
Errors:  none.
Source:  ours.
Differs: sums are exact before they are rounded once, so the order of the values does not matter.
"""

import math
from collections.abc import Iterable


def mean(values: Iterable[float]) -> float:
    """The mean; NaN if there is no value."""
    listed = list(values)
    return math.fsum(listed) / len(listed) if listed else math.nan
