"""One training run from its config: parts, places on the mesh, the loop, the exported weights.

Path:    config, workdir -> [running] -> WORKDIR (see the README here)
Axes:    batches are global; a mesh of one device runs the same program as one of many.
Errors:  ValueError for a config that does not fit, before compilation; those of `train.fit`.
"""

import contextlib
import functools
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import jax
from absl import logging
from jax.sharding import Mesh

from experiments import chosen_text_bank
from experiments.promptable_sam2 import debug_data, model_parts, sources
from experiments.promptable_sam2.evaluation import Evaluation, EvaluationOptions
from experiments.promptable_sam2.set_evaluation import SetEvaluation, SetEvaluationOptions
from surgjax import train
from surgjax.data.samplers import ClipSampler
from surgjax.text.text_bank import TextBank
from surgjax.train import distributed, recipes, replay, sharding
from surgjax.train import stages as train_stages
from surgjax.train.accumulation import Accumulation
from surgjax.train.averaged import export_run
from surgjax.train.batch_sources import SourcedBatch, split_batch
from surgjax.train.loop import Evaluate
from surgjax.train.run_record import config_json
from surgjax.train.steps.training_clips import batch_from_arrays, count_losses

BY_MASKS = "sqrt_masks"  # in place of a stage's shares


def check(config: Any) -> dict[str, sources.KindOptions]:
    """Refuses what can be refused without data: returns the kinds of batch."""
    kinds = sources.kinds_of(config)
    best = train.LoopOptions(seed=config.seed, **config.loop).best_metric
    scores = _evaluation_options(config).scores
    if best is not None and best not in scores:
        raise ValueError(f"config.loop.best_metric: {best!r} is none of what eval gives: {scores}.")
    if config.micro_batches < 1:
        raise ValueError(f"config.micro_batches: expected 1 or more, found {config.micro_batches}.")
    for name in train_stages.kinds_of(stages_of(config)):
        if name not in kinds:
            raise ValueError(f"config.stages: {name!r} is not in train_data: {sorted(kinds)}.")
        if kinds[name].batch % config.micro_batches:
            raise ValueError(
                f"config.micro_batches {config.micro_batches} does not divide the batch of "
                f"{kinds[name].batch} of train_data.{name}."
            )
    model_parts.variant_of(config)
    model_parts.text_bank_of(config)
    recipes.get_recipe(config.recipe)
    for options in kinds.values():
        model_parts.prompts_of(config, options.kind, options.size)
    if config.prompts.get("memory") == "hybrid":
        _check_long_frames(config, kinds)
    return kinds


def _check_long_frames(config: Any, kinds: Mapping[str, sources.KindOptions]) -> None:
    """Clips must have the long-range frames that `prompts.memory` "hybrid" keeps for long."""
    for name, options in kinds.items():
        where = f"config.prompts.memory 'hybrid': train_data.{name}"
        if options.kind != "clip":
            continue
        if not isinstance(options, sources.SetBatchOptions):
            raise ValueError(
                f"{where} draws shards, whose clips have no long-range frames; name prepared sets "
                "(`sets`), as configs/sam2s/generated.py does."
            )
        for values in (options.sampler, *({**options.sampler, **s.sampler} for s in options.sets)):
            sampler = ClipSampler(**values)
            if sampler.kind != "hybrid":
                raise ValueError(
                    f"{where}.sampler.kind: expected 'hybrid', found {sampler.kind!r}."
                )
            most = model_parts.prompts_of(config, "clip", options.size).long_frames
            if sampler.num_long > most:
                raise ValueError(
                    f"{where}.sampler.num_long: expected at most prompts.long_frames, {most}, "
                    f"found {sampler.num_long}."
                )


def _evaluation_options(config: Any) -> EvaluationOptions | SetEvaluationOptions:
    values = {name: value for name, value in config.eval.items() if name != "set"}
    return (SetEvaluationOptions if "set" in config.eval else EvaluationOptions)(**values)


def stages_of(config: Any, folder: str | None = None) -> list[train.Stage]:
    """The stages of the config, checked.

    Shares "sqrt_masks" are those that the sets in `folder` ask for; without a folder they are
    equal, which is enough to know what is drawn from.
    """
    by_masks: dict[str, float] = {}
    if any(stage["shares"] == BY_MASKS for stage in config.stages):
        kinds = sources.kinds_of(config)
        by_masks = dict.fromkeys(kinds, 1.0)
        if folder is not None:
            by_masks = sources.shares_by_masks(folder, kinds)
            logging.info("shares of the steps by masks: %s", by_masks)
    stages = [
        train.Stage(stage["steps"], by_masks if stage["shares"] == BY_MASKS else stage["shares"])
        for stage in config.stages
    ]
    train_stages.total_steps(stages)
    return stages


def _first_state(config: Any, mesh: Mesh) -> tuple[train.TrainState, train.TrainState]:
    """The state at step 0 and its shardings."""
    params, recipe = model_parts.initial_params(config), recipes.get_recipe(config.recipe)
    if jax.process_index() == 0:
        logging.info("%s", recipes.summary(params, recipe))
    options = sharding.ShardingOptions(**config.mesh)
    optimizer = model_parts.optimizer_of(config)
    state, shardings = sharding.create_state(params, optimizer, config.seed, mesh, options, recipe)
    if jax.process_index() == 0:
        size = sharding.bytes_per_device(state, shardings) / 1e6
        logging.info("train state: %.0f MB on each of %d devices", size, mesh.size)
    return state, shardings


def _placer(mesh: Mesh, rows: int, micro_batches: int) -> Callable[[Any], SourcedBatch]:
    place = sharding.batch_sharding(mesh, rows)
    if micro_batches > 1 and (rows // micro_batches) % mesh.size:
        logging.warning(
            "micro-batches of %d do not divide over %d devices, which repeat each other's work.",
            rows // micro_batches, mesh.size,
        )  # fmt: skip

    def put(item: Any) -> SourcedBatch:
        arrays, made_of = split_batch(item)
        return SourcedBatch(sharding.place_batch(arrays, place), made_of)

    return put


def _used(config: Any, kinds: Mapping[str, sources.KindOptions]) -> dict[str, sources.KindOptions]:
    """The kinds that a stage draws from."""
    return {name: kinds[name] for name in train_stages.kinds_of(stages_of(config))}


def _accumulation(config: Any) -> Accumulation:
    sum_frames = config.prompts.get("sum_frames", False)
    weigh = functools.partial(count_losses, sum_frames=sum_frames)
    return Accumulation(config.micro_batches, weigh)


@contextlib.contextmanager
def _data_folder(config: Any):
    """Where the data are: the config's folder, or what a debug run draws for itself."""
    if config.train_data.folder:
        yield config.train_data.folder
        return
    names = sources.set_names(config)
    if not config.is_debug:
        what = "prepared sets " + ", ".join(names) if names else "shards"
        raise ValueError(f"config.train_data.folder is empty: --data names the folder of {what}.")
    with tempfile.TemporaryDirectory() as scratch:
        logging.info("debug: drawing data into %s", scratch)
        if names:
            debug_data.write_sets(pathlib.Path(scratch), names)
        else:
            debug_data.write_scenes(scratch)
        yield scratch


def _evaluate(config: Any, folder: str) -> Evaluate:
    """Scores on a split of a prepared set, if the config names one, else on generated scenes."""
    variant, adapters = model_parts.variant_of(config), model_parts.adapters_of(config)
    options = _evaluation_options(config)
    if isinstance(options, EvaluationOptions):
        return Evaluation(variant, options, adapters)
    chosen = sources.SetOptions(**config.eval.set)
    prepared = sources.open_set(folder, chosen)
    return SetEvaluation(variant, prepared, chosen.split, options, adapters)


def _shared_text(config: Any) -> str:
    """The config as text, without where the data are: each machine may have its own copy."""
    shared = config.copy_and_resolve_references()
    shared.train_data.folder = ""
    return config_json(shared)


def _recorded(config: Any, bank: TextBank | None) -> Any:
    """The config as a run records it: which text bank it was, beside where that lies."""
    if bank is None:
        return config
    shown = config.copy_and_resolve_references()
    with shown.unlocked():
        shown.text_bank_sha256 = bank.sha256()
    return shown


def run(config: Any, workdir: str) -> train.TrainState:
    """Everything but flags and the start of processes, for launchers, tests and notebooks."""
    kinds, stages = _used(config, check(config)), stages_of(config)
    distributed.check_same("the config", _shared_text(config))
    mesh = sharding.make_mesh(sharding.ShardingOptions(**config.mesh))
    place = {
        name: _placer(mesh, options.batch, config.micro_batches) for name, options in kinds.items()
    }
    optimizer, rates = model_parts.optimizer_of(config), train.OptimizerOptions(**config.optim)
    with _data_folder(config) as folder:
        stages = stages_of(config, folder)
        bank = model_parts.text_bank_of(config)
        if bank is not None:
            logging.info("%s", chosen_text_bank.about(bank))
            distributed.check_same("the text bank", bank.sha256())
        balance = config.prompts.get("semantic_balance", 0) > 0
        opened = sources.open_sources(kinds, folder, config.seed, place, bank, balance)
        evaluate = _evaluate(config, folder)
        state, shardings = _first_state(config, mesh)
        losses = {
            name: model_parts.loss_fn(config, options.kind, options.size)
            for name, options in kinds.items()
        }
        state = train.fit(
            state=state,
            loss_fns={k: sharding.shard_loss(loss, shardings) for k, loss in losses.items()},
            batches=opened,
            stages=stages,
            optimizer=optimizer,
            learning_rate=train.learning_rate_schedule(rates, train_stages.total_steps(stages)),
            workdir=workdir,
            options=train.LoopOptions(seed=config.seed, **config.loop),
            evaluate=evaluate,
            config=_recorded(config, bank),
            recipe=recipes.get_recipe(config.recipe),
            accumulate=_accumulation(config),
        )
    if jax.process_index() == 0:
        variant, adapters = (
            model_parts.exported_variant(config, bank),
            model_parts.adapters_of(config),
        )
        exported = export_run(workdir, variant, adapters=adapters)
        print(f"finished; averaged parameters in {exported}")
    return state


def replay_step(config: Any, folder: str) -> replay.Replayed:
    """Computes a failed step of this config again and prints what is not finite."""
    about, arrays = replay.load_failure(folder)
    kinds = check(config)
    if about["kind"] not in kinds:
        raise ValueError(f"{folder}: kind {about['kind']!r} is not in the config: {sorted(kinds)}.")
    kind = kinds[about["kind"]]
    target, _ = _first_state(config, sharding.make_mesh(sharding.ShardingOptions(**config.mesh)))
    loss = model_parts.loss_fn(config, kind.kind, kind.size)
    recipe, accumulate = recipes.get_recipe(config.recipe), _accumulation(config)
    batch = batch_from_arrays(arrays)
    found = replay.replay(folder, loss, batch, target, recipe, accumulate)
    print(f"step {about['step']}, {about['kind']!r} batch of {about['sources']}")
    print(f"loss {found.loss}, gradient norm {found.grad_norm}, {found.metrics}")
    print(f"gradients that are not finite: {', '.join(found.bad_gradients) or 'none'}")
    print(f"parameters that are not finite: {', '.join(found.bad_params) or 'none'}")
    return found
