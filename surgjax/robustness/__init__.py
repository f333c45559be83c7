"""Damaged pictures, to see how much of a score is left: 18 corruptions, and 6 surgical ones apart.

Path:    frames -> [robustness] -> frames -> inference -> metrics
"""

from surgjax.robustness.corruptions import CORRUPTIONS, REFERENCE_SIDE, SEVERITIES, corrupt
from surgjax.robustness.surgical import SURGICAL, corrupt_surgical

__all__ = [
    "CORRUPTIONS",
    "REFERENCE_SIDE",
    "SEVERITIES",
    "SURGICAL",
    "corrupt",
    "corrupt_surgical",
]
