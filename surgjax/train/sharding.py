"""Which device holds which piece of the train state and of a batch.

Path:    params, batch -> [sharding] -> arrays over a mesh -> compiled step
Axes:    mesh axes "data" (copies of the state) and "fsdp" (pieces of the state); a batch's first
         axis B is split over both.
Units:   sizes in elements of an array, memory in bytes.
Errors:  ValueError, before anything is compiled, for a mesh that the devices cannot form, a batch
         that the processes cannot share, or arrays of the wrong number of rows.
Source:  ZeRO, arXiv:1910.02054: state in pieces at rest. Shardings by jit and NamedSharding.
Differs: parameters are put together once per step, before the loss, and gradients taken apart
         after it. Left to itself the compiler splits the computation along the pieces too, which
         for this model ends in arrays that it replicates in the middle of the backward pass.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from surgjax.data.prefetch import put_batch
from surgjax.train.parameter_rules import named_leaves, path_name, path_names
from surgjax.train.recipes import Recipe
from surgjax.train.state import TrainState, init_state

DATA, FSDP = "data", "fsdp"
ROWS = (DATA, FSDP)  # what a batch is split over


@dataclasses.dataclass(frozen=True)
class ShardingOptions:
    """What a config may say about the mesh."""

    data: int = -1  # copies of the state; -1: what the devices leave
    fsdp: int = 1  # pieces of the state; -1: what the devices leave
    min_size: int = 2**14  # elements; a smaller array is whole on every device
    keep_whole: tuple[str, ...] = ()  # regular expressions of parameter paths, "a/b/kernel"


def make_mesh(
    options: ShardingOptions = ShardingOptions(), devices: Sequence[Any] | None = None
) -> Mesh:
    """The devices of all processes as [data, fsdp]; neighbours share a row of pieces.

    One device makes a mesh too: the same program then runs on it.
    """
    devices = jax.devices() if devices is None else list(devices)
    sizes = {DATA: options.data, FSDP: options.fsdp}
    for name, size in sizes.items():
        if size < 1 and size != -1:
            raise ValueError(f"{name} must be 1 or more, or -1 for the rest, found {size}.")
    if options.data == options.fsdp == -1:
        raise ValueError("only one of data and fsdp may be -1.")
    given = math.prod(size for size in sizes.values() if size != -1)
    free = [name for name, size in sizes.items() if size == -1]
    if free and len(devices) % given == 0:
        sizes[free[0]] = len(devices) // given
    if math.prod(sizes.values()) != len(devices):
        raise ValueError(
            f"data={options.data} and fsdp={options.fsdp} do not fit {len(devices)} devices: their "
            "product must be the number of devices of all processes, and -1 must leave a whole "
            "number."
        )
    # Auto: the compiler finds the shardings in between. jax.make_mesh defaults to Explicit axes,
    # under which every convolution would have to name its own.
    kinds = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh((sizes[DATA], sizes[FSDP]), ROWS, kinds, devices=devices)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def parameter_spec(
    name: str, shape: tuple[int, ...], pieces: int, options: ShardingOptions
) -> PartitionSpec:
    """Splits the longest axis that `pieces` divides, the last of equals; else keeps it whole."""
    divisible = [axis for axis, size in enumerate(shape) if size and size % pieces == 0]
    is_whole = any(re.search(pattern, name) for pattern in options.keep_whole)
    if pieces == 1 or is_whole or math.prod(shape) < options.min_size or not divisible:
        return PartitionSpec()
    longest = max(divisible, key=lambda axis: (shape[axis], axis))
    return PartitionSpec(*[FSDP if axis == longest else None for axis in range(longest + 1)])


def tree_shardings(
    tree: Any, params: Any, mesh: Mesh, options: ShardingOptions = ShardingOptions()
) -> Any:
    """A NamedSharding per leaf of `tree`: that of the parameter whose path ends the leaf's own.

    So moments, accumulated gradients and running means lie where their parameter lies, however
    deep an optimizer hides them. What belongs to no parameter (counts, the step, the key), or has
    another shape than it, is whole on every device. Leaves need a shape only.
    """
    pieces = mesh.shape[FSDP]
    known = {
        name: (np.shape(leaf), parameter_spec(name, np.shape(leaf), pieces, options))
        for name, leaf in named_leaves(params).items()
    }

    def sharding(path: Any, leaf: Any) -> NamedSharding:
        for start in range(len(path)):  # the longest ending first
            found = known.get(path_name(path[start:]))
            if found is not None and found[0] == np.shape(leaf):
                return NamedSharding(mesh, found[1])
        return NamedSharding(mesh, PartitionSpec())

    return jax.tree_util.tree_map_with_path(sharding, tree)


def state_shardings(
    state: TrainState, mesh: Mesh, options: ShardingOptions = ShardingOptions()
) -> TrainState:
    """A NamedSharding per leaf of a train state; `state` may be abstract (`jax.eval_shape`)."""
    unused = [
        pattern
        for pattern in options.keep_whole
        if not any(re.search(pattern, name) for name in path_names(state.params))
    ]
    if unused:
        raise ValueError(f"keep_whole: no parameter has a path that matches {unused}.")
    return tree_shardings(state, state.params, mesh, options)


def replicated(mesh: Mesh) -> NamedSharding:
    """Whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh, batch_size: int) -> NamedSharding:
    """Of arrays whose first axis counts the `batch_size` rows of the global batch.

    A batch that the devices do not divide is split over "data" or "fsdp" alone, or not at all;
    devices then repeat each other's work, and a warning says so.
    """
    choices = ((ROWS, mesh.size), (DATA, mesh.shape[DATA]), (FSDP, mesh.shape[FSDP]), (None, 1))
    axes, parts = max(
        ((axes, parts) for axes, parts in choices if batch_size % parts == 0),
        key=lambda choice: choice[1],
    )
    if parts < mesh.size:
        logging.warning(
            "a batch of %d does not divide over %d devices: %d devices do the work of one.",
            batch_size, mesh.size, mesh.size // parts,
        )  # fmt: skip
    sharding = NamedSharding(mesh, PartitionSpec(axes) if axes else PartitionSpec())
    if jax.process_count() > 1:
        _check_shares(sharding, batch_size)
    return sharding


def _check_shares(sharding: NamedSharding, batch_size: int) -> None:
    """Refuses rows that several processes would hold: their shares would not be told apart."""
    places = sharding.addressable_devices_indices_map((batch_size,)).values()
    spans = {at[0].indices(batch_size)[:2] for at in places if at}
    rows, processes = sum(stop - start for start, stop in spans), jax.process_count()
    if rows * processes != batch_size:
        sizes = ", ".join(f"{name}={size}" for name, size in sharding.mesh.shape.items())
        raise ValueError(
            f"a batch of {batch_size} on a mesh of {sizes} cannot be shared by {processes} "
            f"processes: this one would hold {rows} rows. Take a multiple of the "
            f"{sharding.mesh.size} devices."
        )


def place_batch(batch: Any, sharding: jax.sharding.Sharding, is_whole: bool = False) -> Any:
    """Starts the transfer of a batch; returns global arrays.

    Every process gives its share of the rows (see `put_batch`; the shares stand in process order
    but on TPU pods, where they may change places), or with `is_whole` all rows of the global
    batch, of which it transfers its own.
    """
    if not is_whole:
        return put_batch(batch, sharding)

    def place(array: Any) -> jax.Array:
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda at: array[at])

    return jax.tree.map(place, batch)


def _place_leaf(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return jax.device_put(leaf, sharding)  # of all processes already
    if isinstance(leaf, jax.Array) and _is_key(leaf):
        data = _place_leaf(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def place_state(state: Any, shardings: Any) -> Any:
    """The same values over the mesh; every process gives the whole state, equal to the others'."""
    return jax.tree.map(_place_leaf, state, shardings)


def create_state(
    params: Any,
    optimizer: optax.GradientTransformation,
    seed: int,
    mesh: Mesh,
    options: ShardingOptions = ShardingOptions(),
    recipe: Recipe | None = None,
) -> tuple[TrainState, TrainState]:
    """`init_state` over the mesh, with its shardings; no device ever holds the whole of it.

    params: host arrays, the same in every process.
    """

    def create(params: Any) -> TrainState:
        return init_state(params, optimizer, seed, recipe)

    shardings = state_shardings(jax.eval_shape(create, params), mesh, options)
    placed = place_state(params, shardings.params)
    return jax.jit(create, out_shardings=shardings)(placed), shardings


def shard_loss(loss_fn: Callable[..., Any], shardings: TrainState) -> Callable[..., Any]:
    """`loss_fn(params, ...)` on whole parameters, whose gradients come back in pieces."""

    def sharded(params: Any, *arguments: Any) -> Any:
        return loss_fn(jax.tree.map(_gather, params, shardings.params), *arguments)

    return sharded


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _gather(leaf: jax.Array, place: NamedSharding) -> jax.Array:
    """A whole leaf of one in pieces. Leaf by leaf, so that a frozen one is not differentiated."""
    return jax.lax.with_sharding_constraint(leaf, NamedSharding(place.mesh, PartitionSpec()))


def _gather_forward(leaf: jax.Array, place: NamedSharding) -> tuple[jax.Array, None]:
    return _gather(leaf, place), None


def _gather_backward(place: NamedSharding, _: None, gradient: jax.Array) -> tuple[jax.Array]:
    return (jax.lax.with_sharding_constraint(gradient, place),)


_gather.defvjp(_gather_forward, _gather_backward)


def bytes_per_device(tree: Any, shardings: Any) -> int:
    """What the largest share of a tree takes on one device, at rest."""

    def leaf(value: Any, sharding: NamedSharding) -> int:
        if _is_key(value):
            value = jax.eval_shape(jax.random.key_data, value)
            sharding = NamedSharding(sharding.mesh, PartitionSpec())
        return math.prod(sharding.shard_shape(value.shape)) * value.dtype.itemsize

    return sum(jax.tree.leaves(jax.tree.map(leaf, tree, shardings)))
