"""From `config.train_data` to batches: shards of generated scenes, or prepared data sets.

Path:    shards, prepared sets -> [sources] -> batch sources of train.fit
Axes:    B rows of the global batch; every process reads its share of them.
Units:   sizes in pixels; shots are annotated frames of a class.
Errors:  ValueError naming the entry of the config or the folder, before training starts.
Differs: a kind of batch with `sets` is read by `data.open_clips`, one without from shards. Raters
         redraw training masks only; evaluation opens its sets by itself.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from absl import logging

from surgjax.data import few_shot, gap_statistics
from surgjax.data.augment import AugmentConfig, StillMotion
from surgjax.data.class_shares import class_shares
from surgjax.data.clips import open_clips
from surgjax.data.colour_jitter import Jitter
from surgjax.data.mixture import Mixture, MixtureEntry
from surgjax.data.prefetch import DevicePrefetch
from surgjax.data.reader import PreparedSet, version_folder
from surgjax.data.samplers import ClipSampler
from surgjax.synthetic.names import CATEGORIES
from surgjax.text.categories import bank_rows
from surgjax.text.text_bank import TextBank
from surgjax.train import scene_batches, warm_start
from surgjax.train.batch_sources import OpenSource
from surgjax.train.label_raters import VideoRaters
from surgjax.train.scene_batches import BatchOptions

_SET_KINDS = ("clip", "image")
_COUNTED_GAPS = 256  # examples whose gaps are logged before training
_COUNTED_CLASSES = 4096  # examples whose classes are counted before training


@dataclasses.dataclass(frozen=True)
class SetOptions:
    """A prepared set and how much of it a mixture takes."""

    name: str  # as `experiments.prepare_data --dataset`: NAME, NAME/CONFIG, NAME:VERSION
    split: str = "train"
    weight: float = 1.0
    sampler: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # beside the kind's own
    shots: Mapping[str, Any] | None = None  # few_shot.draw_shots, and groups


@dataclasses.dataclass(frozen=True)
class SetBatchOptions:
    """A kind of batch that is drawn from prepared sets."""

    sets: tuple[SetOptions, ...]
    kind: str = "clip"  # or "image": clips of one frame
    size: int = 512  # pixels, square
    batch: int = 1
    sampler: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # of ClipSampler
    weighting: str = "given"  # or "sqrt_masks"
    augment: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # of AugmentConfig
    threads: int = 2
    # Masks as annotators would draw them: `raters` and `seed` of train.label_raters.VideoRaters.
    annotators: Mapping[str, Any] | None = None

    def __post_init__(self):
        if self.kind not in _SET_KINDS:
            raise ValueError(f"kind: one of {_SET_KINDS} expected, found {self.kind!r}.")
        self.relabel()

    def relabel(self) -> VideoRaters | None:
        """Who redraws the masks, if anyone."""
        if self.annotators is None:
            return None
        values = dict(self.annotators)
        if "raters" in values:
            values["raters"] = tuple(values["raters"])
        return VideoRaters(**values)


KindOptions = BatchOptions | SetBatchOptions


def kinds_of(config: Any) -> dict[str, KindOptions]:
    """Every kind of batch that the config describes, by name."""
    found: dict[str, KindOptions] = {}
    for name, values in config.train_data.items():
        if name == "folder":
            continue
        values = values.to_dict() if hasattr(values, "to_dict") else dict(values)
        try:
            if "sets" in values:
                sets = tuple(SetOptions(**dict(each)) for each in values.pop("sets"))
                found[name] = SetBatchOptions(sets=sets, **values)
            else:
                found[name] = BatchOptions(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"config.train_data.{name}: {error}") from error
    return found


def set_names(config: Any) -> list[str]:
    """Prepared sets that the config reads, each once."""
    kinds = kinds_of(config).values()
    every = [each.name for kind in kinds if isinstance(kind, SetBatchOptions) for each in kind.sets]
    if config.eval.get("set"):
        every.append(config.eval.set.name)
    return list(dict.fromkeys(every))


def augment_config(values: Mapping[str, Any]) -> AugmentConfig:
    """AugmentConfig of plain values; jitters are (brightness, contrast, saturation)."""
    values = dict(values)
    for name in ("jitter", "frame_jitter"):
        if name in values:
            values[name] = Jitter(*values[name])
    if values.get("still") is not None:
        values["still"] = StillMotion(**values["still"])
    return AugmentConfig(**values)


def categories_of(prepared: PreparedSet, split: str, groups: str) -> list[str]:
    """Categories of a split that are "tissue" or "instruments"."""
    if groups not in ("tissue", "instruments"):
        raise ValueError(f"shots.groups: tissue or instruments expected, found {groups!r}.")
    return sorted(
        {
            item.category
            for _, video in prepared.index.videos(split)
            for item in video.objects
            if item.is_instrument == (groups == "instruments") and item.visible
        }
    )


def open_set(folder: str, options: SetOptions) -> PreparedSet:
    """The prepared set, cut down to its shots if the config asks for some."""
    prepared = PreparedSet(version_folder(folder, options.name))
    if options.shots is not None:
        wanted = dict(options.shots)
        if groups := wanted.pop("groups", None):
            wanted["categories"] = categories_of(prepared, options.split, groups)
        shots = few_shot.draw_shots(prepared.index, options.split, **wanted)
        logging.info("%s: shots %s", options.name, few_shot.count(shots))
        prepared.index = few_shot.restrict(prepared.index, options.split, shots)
    return prepared


def mixture_entries(folder: str, options: SetBatchOptions) -> list[MixtureEntry]:
    """The sets of a kind of batch, opened."""
    entries = []
    for each in options.sets:
        values = dict(options.sampler) | dict(each.sampler)
        if options.kind == "image":
            values |= {"kind": "consecutive", "frames": 1}
        if each.shots is not None:
            values["annotated_only"] = True  # a shot is an annotated frame
        prepared = open_set(folder, each)
        entries.append(MixtureEntry(prepared, each.split, ClipSampler(**values), each.weight))
    return entries


def class_rows(source: str, names: Iterable[str], bank: TextBank) -> dict[str, int]:
    """Row of the bank by a data set's own names, where they have one that is an instrument."""
    names = sorted(names)
    rows = bank_rows(bank.names, source, names).tolist()
    return {
        name: k for name, k in zip(names, rows, strict=True) if k >= 0 and bank.is_instrument[k]
    }


def classes_of(entries: Iterable[MixtureEntry], bank: TextBank) -> dict[str, dict[str, int]]:
    """Of each set, the row of the bank for its categories, by the table of `text.categories`."""
    found = {}
    for entry in entries:
        videos = entry.prepared.index.videos(entry.split)
        categories = {item.category for _, video in videos for item in video.objects}
        name = entry.prepared.name
        found.setdefault(name, {}).update(class_rows(name.partition("/")[0], categories, bank))
        named = [f"{own} ({bank.names[k]})" for own, k in sorted(found[name].items())]
        logging.info("%s: classes of the text bank: %s", name, ", ".join(named) or "none")
    return found


def _from_sets(
    options: SetBatchOptions,
    folder: str,
    seed: int,
    bank: TextBank | None,
    balance: bool,
) -> OpenSource:
    # All of it now, though a later stage may be the first to draw from it.
    entries, augmentation = mixture_entries(folder, options), augment_config(options.augment)
    weighting: Any = options.weighting
    classes = None if bank is None else classes_of(entries, bank)
    mixture = Mixture(entries, seed, weighting)  # a split without a clip is refused here
    for entry, share in zip(mixture.entries, mixture.shares, strict=True):
        logging.info("%s %s: %.1f%% of the clips", entry.prepared.name, entry.split, 100 * share)
    for counts in gap_statistics.count_gaps(mixture, range(_COUNTED_GAPS)):
        logging.info("%s", counts.text())

    shares = None
    if bank is not None and classes is not None and balance:
        shares = class_shares(mixture, classes, len(bank.names), range(_COUNTED_CLASSES))
        named = sorted(zip(shares, bank.names, strict=True), reverse=True)
        logging.info("shares of the classes: %s", ", ".join(f"{k} {s:.3f}" for s, k in named))

    def open_source(start: int) -> Iterator[Any]:
        return open_clips(
            entries,
            batch_size=options.batch,
            size=options.size,
            seed=seed,
            start_step=start,
            weighting=weighting,
            augment_config=augmentation,
            threads=options.threads,
            relabel=options.relabel(),
            classes=classes,
            class_shares=shares,
        )

    return open_source


def shares_by_masks(
    folder: str, kinds: Mapping[str, KindOptions], seed: int = 0
) -> dict[str, float]:
    """Shares of the steps that make every set's share of the examples follow sqrt(masks).

    Masks are counted in the indices of the sets, which must be mixed by "sqrt_masks" in each kind.
    """
    shares = {}
    for name, options in kinds.items():
        if not isinstance(options, SetBatchOptions) or options.weighting != "sqrt_masks":
            raise ValueError(
                f"config.stages: shares 'sqrt_masks' need train_data.{name} to mix prepared sets "
                "with weighting 'sqrt_masks'."
            )
        entries = mixture_entries(folder, options)
        shares[name] = sum(Mixture(entries, seed, "sqrt_masks").weights) / options.batch
    return {name: share / sum(shares.values()) for name, share in shares.items()}


def _from_shards(
    options: BatchOptions, shards: Callable[[str], scene_batches.ShardFolder], seed: int
) -> OpenSource:
    rows = scene_batches.rows_of_process(options)
    # Read now: a folder without clips must not end the run at its first stage of clips.
    scenes = shards("clip" if options.kind == "clip" else "image")
    draw = warm_start.shape_batches if options.kind == "shapes" else scene_batches.scene_batches

    def open_source(start: int) -> Iterator[Any]:
        return draw(scenes, options, seed, start=start, rows=rows)

    return open_source


def open_sources(
    kinds: Mapping[str, KindOptions],
    folder: str,
    seed: int,
    place: Mapping[str, Callable[[Any], Any]],
    bank: TextBank | None = None,
    balance: bool = False,
) -> dict[str, OpenSource]:
    """What `train.fit` takes as `batches`; each is on its devices before the step asks for it.

    folder: of the prepared sets, or of shards (several, separated by commas).
    place: by kind, starts the transfer of a batch's arrays.
    bank: of text vectors, where batches are to say which of them their objects are.
    balance: whether batches of prepared sets are to say how often each of them is drawn.
    """
    named = None if bank is None else class_rows("generated", CATEGORIES, bank)

    @functools.cache  # batches of two sizes share the scenes in memory
    def shards(kind: str) -> scene_batches.ShardFolder:
        return scene_batches.ShardFolder(folder.split(","), kind, classes=named)

    def placed(source: OpenSource, name: str) -> OpenSource:
        return lambda start: DevicePrefetch(source(start), place[name])

    sources: dict[str, OpenSource] = {}
    for number, (name, options) in enumerate(kinds.items()):
        if isinstance(options, SetBatchOptions):
            source = _from_sets(options, folder, seed + number, bank, balance)
        else:
            source = _from_shards(options, shards, seed + number)
        sources[name] = placed(source, name)
    return sources
