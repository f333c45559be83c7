r"""Makes the text bank of temporal semantic learning: one vector per class, kept in a file.

  python -m experiments.text_bank --clip=CLIP_DIR --output=bank.safetensors --classes=sa_sv
  python -m experiments.text_bank --kind=orthogonal --output=bank.safetensors --classes=generated

CLIP_DIR holds model.safetensors, config.json, vocab.json and merges.txt of CLIP ViT-B/32. The sum
it prints is that of the instruments, by which logs, config.json and summary.json name a bank.
"""

from absl import app, flags, logging

from experiments.command import command
from experiments.text_bank_classes import read_classes
from surgjax.checkpoints.text_bank_file import cached_clip_bank, cached_orthogonal_bank
from surgjax.text.text_bank import nearest_pairs

_CLIP = flags.DEFINE_string("clip", None, "Folder of CLIP as Hugging Face has it.")
_OUTPUT = flags.DEFINE_string("output", None, "File to write, .safetensors.", required=True)
_CLASSES = flags.DEFINE_string(
    "classes",
    "sa_sv",
    "sa_sv (37 categories), sa_sv_instruments (21), a data set with a builder, some categories "
    'separated by commas, or a file: {"NAME": {"is_instrument": true, "phrases": [...]}, ...}.',
)
_KIND = flags.DEFINE_enum(
    "kind", "clip", ("clip", "orthogonal"), "orthogonal: random rows, for want of CLIP's weights."
)
_RECOMPUTE = flags.DEFINE_bool("recompute", False, "Replace a bank made from something else.")
_PAIRS = flags.DEFINE_integer("pairs", 10, "How many of the nearest pairs to print.", lower_bound=0)


def run(
    output: str, classes: str, kind: str, clip: str | None, recompute: bool, pairs: int
) -> None:
    """Makes the bank or takes the one that is there, and prints what it is."""
    chosen = read_classes(classes)
    if kind == "clip":
        if clip is None:
            raise ValueError("--clip is missing: a folder of CLIP; or ask for --kind=orthogonal.")
        bank, is_new = cached_clip_bank(output, clip, chosen, recompute=recompute)
    else:
        if clip is not None:
            raise ValueError("--clip and --kind=orthogonal exclude each other.")
        bank, is_new = cached_orthogonal_bank(output, chosen, recompute)
    count, width = bank.vectors.shape
    print(f"text bank  {bank.kind}")
    print(f"classes    {count}, of them instruments {int(bank.is_instrument.sum())}")
    print(f"vectors    {width} numbers each")
    for name, value in bank.inputs.items():
        print(f"from       {name} {value}")
    used = bank.instruments() if bank.is_instrument.sum() > 1 else bank
    print(f"sha256     {used.sha256()}")
    print(f"{'wrote' if is_new else 'kept'}      {output}")
    nearest = nearest_pairs(bank, pairs)
    if nearest:
        print("nearest pairs (cosine)")
    for cosine, first, second in nearest:
        print(f"  {cosine:6.3f}  {first} | {second}")


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    logging.set_verbosity(logging.WARNING)  # JAX tells of every backend that is not there
    with command("text_bank", argv):
        run(_OUTPUT.value, _CLASSES.value, _KIND.value, _CLIP.value, _RECOMPUTE.value, _PAIRS.value)


if __name__ == "__main__":
    app.run(main)
