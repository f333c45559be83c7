r"""Scores a folder of masks against ground truth by a published protocol.

  python -m experiments.evaluate --predictions=DIR --ground_truth=DIR --protocol=davis17 \
    --output=DIR
  python -m experiments.evaluate --predictions=DIR --protocol=temporal --output=DIR

Both are flat folders of palette PNGs (one sequence) or folders of sequences; files pair by stem.
`surgjax.evaluation` does the work.
"""

from absl import app, flags

from experiments.command import command
from surgjax.evaluation import html_report, report_files
from surgjax.evaluation.folder_protocols import PROTOCOLS
from surgjax.evaluation.folder_run import NOT_STATED, score_folders
from surgjax.evaluation.options import Options
from surgjax.evaluation.page_options import PageOptions

_PREDICTIONS = flags.DEFINE_string("predictions", None, "Predicted masks.", required=True)
_GROUND_TRUTH = flags.DEFINE_string("ground_truth", None, "Annotated masks; temporal needs none.")
_PROTOCOL = flags.DEFINE_enum("protocol", None, list(PROTOCOLS), "How to score.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for report.json, report.html and CSV.", required=True
)
_MISSING = flags.DEFINE_enum("missing", "error", ("error", "empty"), "A missing prediction.")
_PROMPTS = flags.DEFINE_string("prompt_source", NOT_STATED, "Printed: how masks were prompted.")
_SPLIT = flags.DEFINE_string("split", NOT_STATED, "Printed: which split this is.")
_KEEP = flags.DEFINE_bool("keep_first_and_last", False, "davis17, sav: score those frames too.")
_MODE = flags.DEFINE_enum("mode", "corrected", ("corrected", "literal"), "literal: with defects.")
_CLASSES = flags.DEFINE_integer("num_classes", None, "Largest class id; endovis_type: 7.")
_FLOW = flags.DEFINE_string("flow", None, "temporal: SEQUENCE/STEM.npy or .flo, flow in pixels.")
_SIMILARITY = flags.DEFINE_enum(
    "similarity", "mask", ("mask", "box"), "hota: IoU of pixels, or of the boxes around them."
)
_COMPARE = flags.DEFINE_list("compare", [], "--output folders of earlier runs, for report.html.")
_PROMPTED = flags.DEFINE_list("prompted", [], "Stems of prompted frames to mark, or `first`.")
_FRAMES = flags.DEFINE_string("frames", None, "Images under the worst frames, SEQUENCE/STEM.jpg.")
_JOBS = flags.DEFINE_integer("jobs", 1, "Processes; a sequence is scored by one.", lower_bound=1)


def run() -> None:
    """Scores, writes, prints."""
    output = report_files.open_output(_OUTPUT.value)
    for name, flag in (("--predictions", _PREDICTIONS), ("--ground_truth", _GROUND_TRUTH)):
        if flag.value:
            output.check_input(name, flag.value)
    page = PageOptions(_FRAMES.value, tuple(_PROMPTED.value))
    page.check(_PROTOCOL.value, _GROUND_TRUTH.value)
    others = {folder: report_files.read_report(folder) for folder in _COMPARE.value}
    report = score_folders(
        _PROTOCOL.value,
        _PREDICTIONS.value,
        _GROUND_TRUTH.value,
        missing=_MISSING.value,
        options=Options(_KEEP.value, _MODE.value, _CLASSES.value, _FLOW.value, _SIMILARITY.value),
        prompt_source=_PROMPTS.value,
        split=_SPLIT.value,
        jobs=_JOBS.value,
    )
    text = html_report.build_page(
        report,
        others=others,
        prompted=page.marks(report),
        frames=page.frames,
        name=_OUTPUT.value,
    )
    files = report_files.write_report(report, output, text)
    print(report_files.summary_text(report))
    print(f"\n{', '.join(path.name for path in files)} in {_OUTPUT.value}")


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    with command("evaluate", argv):
        run()


if __name__ == "__main__":
    app.run(main)
