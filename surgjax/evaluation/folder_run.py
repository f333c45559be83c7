"""Scores folders by a protocol, sequence by sequence, in one process or several.

Path:    folders -> [score_folders] -> a report
Axes:    none.
Units:   as in the protocol.
Errors:  MaskFolderError naming folder or file; ValueError for options that do not fit.
Source:  ours.
Differs: nothing to compare with. Only scores are kept, packed in arrays for most protocols, so
         memory grows with objects times frames by a few bytes, and not with the pixels.
"""

import functools
import multiprocessing
import pickle
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import cv2

from surgjax.evaluation import mask_folders, sequence_sums
from surgjax.evaluation.folder_protocols import PROTOCOLS
from surgjax.evaluation.options import Options
from surgjax.evaluation.protocol import Scored, join_scored

NOT_STATED = "not stated"


def _score(name: str, options: Options, sequence: Any) -> Scored:
    cv2.setNumThreads(1)  # masks are small; processes share the cores
    return PROTOCOLS[name].score(sequence, options)


def _score_all(score: Callable[[Any], Scored], sequences: list[Any], jobs: int) -> Iterable[Scored]:
    if jobs == 1 or len(sequences) == 1:
        yield from map(score, sequences)
        return
    context = multiprocessing.get_context("spawn")  # JAX may hold threads, which a fork would break
    with ProcessPoolExecutor(min(jobs, len(sequences)), mp_context=context) as pool:
        yield from pool.map(score, sequences)


def score_folders(
    protocol: str,
    predictions: str,
    ground_truth: str | None = None,
    *,
    missing: str = "error",
    options: Options | None = None,
    prompt_source: str = NOT_STATED,
    split: str = NOT_STATED,
    jobs: int = 1,
) -> dict[str, Any]:
    """The report of one protocol: what `report.json` holds, and `tables` for the CSV files.

    `prompt_source` and `split` are the caller's statement of how the predictions came about; they
    are printed with every result.
    """
    options = options or Options()
    if protocol not in PROTOCOLS:
        raise ValueError(f"--protocol {protocol}: expected one of {', '.join(PROTOCOLS)}.")
    chosen = PROTOCOLS[protocol]
    options.check(protocol, chosen.options)
    if chosen.needs_ground_truth and not ground_truth:
        raise ValueError(f"--ground_truth is missing: protocol {protocol} needs it.")
    if missing != "error" and not chosen.needs_ground_truth:
        raise ValueError(f"--missing={missing}: protocol {protocol} has no ground truth to miss.")
    if jobs > 1 and callable(options.flow):
        try:
            pickle.dumps(options.flow)
        except Exception as error:  # what pickle raises depends on the object
            raise ValueError(
                f"jobs={jobs}: the flow function cannot be sent to other processes ({error}). "
                "Define it at the top level of a module, or take jobs=1."
            ) from None
    found = mask_folders.find_sequences(predictions, "--predictions")
    notes: list[str] = []
    if chosen.needs_ground_truth and ground_truth:
        truth = mask_folders.find_sequences(ground_truth, "--ground_truth")
        sequences, notes = mask_folders.pair_sequences(found, truth, missing)
    else:
        sequences = list(found.sequences.values())
        if ground_truth:
            notes = [f"protocol {protocol} does not use --ground_truth"]
    score = functools.partial(_score, protocol, options)
    total = join_scored(chosen, _score_all(score, sequences, jobs))
    result = chosen.report(total, options)
    result["sums"] = sequence_sums.sums_of(protocol, total, result)
    return {
        "protocol": protocol,
        "preset": result.pop("preset", protocol),
        "prompt_source": prompt_source,
        "split": split,
        "settings": options.stated(chosen.options) | ({"missing": missing} if ground_truth else {}),
        "notes": [*notes, *total.notes],
        "predictions": str(predictions),
        "ground_truth": ground_truth,
        "sequences": len(sequences),
        **result,
    }
