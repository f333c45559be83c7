"""Array annotations, and a decorator that checks them where a function is traced.

Path:    used by every stage
Axes:    written in the annotation, `Float[Array, "B H W"]`. A name means one size per call; `*B` is
         any number of axes, `_` one axis of any size, `""` a scalar.
Errors:  TypeError naming function, argument, annotation and what was found.
Source:  jaxtyping for the annotations; the decorator is ours.
Differs: jaxtyping leaves checking to a second package that also checks everything else; here only
         array annotations are checked, which costs nothing once a function is compiled.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from jax import Array
from jaxtyping import AbstractArray, Bool, Float, Float32, Int, Int32, Shaped, UInt8, jaxtyped

__all__ = [
    "Array",
    "Bool",
    "Float",
    "Float32",
    "Int",
    "Int32",
    "NDArray",
    "Shaped",
    "UInt8",
    "typechecked",
]

NDArray = np.ndarray

_F = TypeVar("_F", bound=Callable[..., Any])


def _found(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} {value.dtype}{list(value.shape)}"
    return type(value).__name__


def typechecked(function: _F) -> _F:
    """Checks arguments and result against their array annotations; other annotations are ignored.

    Axis names bind across the arguments and the result of one call. Works on numpy arrays, jax
    arrays and tracers, so inside `jax.jit` the check runs while tracing only.
    """
    signature = inspect.signature(function)

    @functools.cache
    def annotations() -> dict[str, type]:
        hints = typing.get_type_hints(function)
        return {
            name: hint
            for name, hint in hints.items()
            if isinstance(hint, type) and issubclass(hint, AbstractArray)
        }

    def check(name: str, value: Any) -> None:
        hint = annotations().get(name)
        if hint is not None and not isinstance(value, hint):
            where = "result" if name == "return" else f"argument '{name}'"
            raise TypeError(
                f"{function.__qualname__}: {where} must be {hint.__name__}, found {_found(value)}."
            )

    @functools.wraps(function)
    @jaxtyped(typechecker=None)  # one scope of axis names per call
    def checked(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            check(name, value)
        result = function(*args, **kwargs)
        check("return", result)
        return result

    return typing.cast(_F, checked)
