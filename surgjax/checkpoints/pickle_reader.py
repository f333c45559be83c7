"""Reads the pickle inside a torch checkpoint with a small stack machine that can call nothing.

Path:    torch_reader -> [pickle_reader] -> nested dicts of Python values and whatever
         `make_storage` and `make_tensor` return
Axes:    none.
Units:   sizes in bytes; a tensor's offset and stride count elements, as torch writes them.
Errors:  CheckpointError for an opcode, a global or a call outside the allow-list, for a malformed
         stream, and for a dict key that occurs twice.
Source:  the pickle protocol as documented by the standard library's `pickletools`; the layout of
         torch >= 1.6 files, measured on files written by torch 2.13.
Differs: `pickle.Unpickler` with an allow-list in `find_class` still lets a file set attributes of
         the allowed functions (BUILD) and grow the memo at will. Here a global is a name and
         nothing more, and a call is a branch of `_call`.
"""

import collections
import pickletools
import reprlib
from collections.abc import Callable
from typing import Any, NamedTuple

from surgjax.checkpoints.errors import CheckpointError

# SAM 2.1 large needs about 120 kB; optimiser states written beside a model stay far below this.
MAX_PICKLE_BYTES = 32 * 2**20

STORAGE_NAMES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}

_CALLABLE = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "Size"),
}

_PLAIN = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
_CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_FIXED_TUPLE = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class GlobalName(NamedTuple):
    """A name the file refers to. Never resolved to an object."""

    module: str
    name: str


class _Mark:
    """Bottom of a variable-length run on the stack."""


MakeStorage = Callable[[str, str, int], Any]  # (dtype name, record key, number of elements)
MakeTensor = Callable[[Any, int, tuple[int, ...], tuple[int, ...]], Any]  # storage, offset, ...


def read_pickle(data: bytes, make_storage: MakeStorage, make_tensor: MakeTensor) -> Any:
    """Interprets `data`; tensors and storages are made by the two functions given."""
    if len(data) > MAX_PICKLE_BYTES:
        raise CheckpointError(
            f"data.pkl has {len(data)} bytes, expected at most {MAX_PICKLE_BYTES}."
        )
    machine = _Machine(make_storage, make_tensor)
    try:
        for opcode, arg, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.result()
            machine.run(opcode.name, arg)
    except CheckpointError:
        raise
    # genops and the stack operations report a malformed stream with these
    except (ValueError, IndexError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"data.pkl is malformed ({error}).") from None
    raise CheckpointError("data.pkl ends without a STOP opcode; the file is truncated.")


class _Machine:
    def __init__(self, make_storage: MakeStorage, make_tensor: MakeTensor):
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._make_storage = make_storage
        self._make_tensor = make_tensor

    def result(self) -> Any:
        if len(self._stack) != 1:
            raise CheckpointError(
                f"data.pkl is malformed ({len(self._stack)} values left at its end, expected 1)."
            )
        return self._stack[0]

    def run(self, name: str, arg: Any) -> None:
        stack = self._stack
        if name == "PROTO":
            if arg > 3:
                raise CheckpointError(f"data.pkl uses pickle protocol {arg}, expected 2 or 3.")
        elif name in _PLAIN:
            stack.append(arg)
        elif name in _CONSTANT:
            stack.append(_CONSTANT[name])
        elif name == "MARK":
            stack.append(_Mark)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[arg] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[arg])
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "TUPLE":
            stack.append(tuple(self._pop_to_mark()))
        elif name in _FIXED_TUPLE:
            stack.append(tuple(self._pop(_FIXED_TUPLE[name])))
        elif name == "APPEND":
            (value,) = self._pop(1)
            self._top(list).append(value)
        elif name == "APPENDS":
            values = self._pop_to_mark()
            self._top(list).extend(values)
        elif name == "SETITEM":
            self._set_items(self._pop(2))
        elif name == "SETITEMS":
            self._set_items(self._pop_to_mark())
        elif name == "GLOBAL":
            stack.append(_allowed_global(arg))
        elif name == "BINPERSID":
            (pid,) = self._pop(1)
            stack.append(self._storage(pid))
        elif name == "REDUCE":
            function, args = self._pop(2)
            stack.append(self._call(function, args))
        elif name == "BUILD":
            # state_dict() hangs module versions on its OrderedDict; nothing else may have a state
            self._pop(1)
            self._top(collections.OrderedDict)
        else:
            raise CheckpointError(
                f"data.pkl uses the pickle opcode {name}, which no state dict needs; refused."
            )

    def _pop(self, count: int) -> list[Any]:
        if count == 0:
            return []
        if len(self._stack) < count or any(v is _Mark for v in self._stack[-count:]):
            raise CheckpointError("data.pkl is malformed (an opcode finds too few values).")
        values = self._stack[-count:]
        del self._stack[-count:]
        return values

    def _pop_to_mark(self) -> list[Any]:
        for start in range(len(self._stack) - 1, -1, -1):
            if self._stack[start] is _Mark:
                values = self._stack[start + 1 :]
                del self._stack[start:]
                return values
        raise CheckpointError("data.pkl is malformed (an opcode finds no mark).")

    def _top(self, kind: type) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise CheckpointError(f"data.pkl is malformed (expected a {kind.__name__}).")
        return self._stack[-1]

    def _set_items(self, values: list[Any]) -> None:
        target = self._top(dict)
        if len(values) % 2:
            raise CheckpointError("data.pkl is malformed (a key without a value).")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in (str, int):  # hashing nested tuples can take forever
                raise CheckpointError(f"data.pkl has {_short(key)} as a key, expected a name.")
            if key in target:
                raise CheckpointError(f"data.pkl holds the key {reprlib.repr(key)} twice.")
            target[key] = value

    def _storage(self, pid: Any) -> Any:
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise CheckpointError(f"data.pkl refers to {_short(pid)}, expected a tensor storage.")
        _, kind, key, _, count = pid
        if not (isinstance(kind, GlobalName) and kind.name in STORAGE_NAMES):
            raise CheckpointError(f"data.pkl has a storage of unknown type {_short(kind)}.")
        if not (isinstance(key, str) and _is_count(count)):
            raise CheckpointError(f"data.pkl has a malformed storage entry {_short(pid)}.")
        return self._make_storage(STORAGE_NAMES[kind.name], key, count)

    def _call(self, function: Any, args: Any) -> Any:
        if not isinstance(function, GlobalName) or not isinstance(args, tuple):
            raise CheckpointError(f"data.pkl calls {_short(function)}; refused.")
        if function.name == "OrderedDict":
            ordered: collections.OrderedDict[Any, Any] = collections.OrderedDict()
            if args:  # Python 2 style: a list of pairs
                raise CheckpointError("data.pkl builds an OrderedDict from arguments; refused.")
            return ordered
        if function.name == "Size" and len(args) == 1 and isinstance(args[0], tuple):
            return args[0]
        if function.name == "_rebuild_parameter" and len(args) in (2, 3):
            return args[0]
        if function.name == "_rebuild_tensor_v2" and 4 <= len(args) <= 7:
            storage, offset, size, stride = list(args)[:4]
            if (
                _is_count(offset)
                and isinstance(size, tuple)
                and isinstance(stride, tuple)
                and len(size) == len(stride) <= 32
                and all(_is_count(n) for n in (*size, *stride))
            ):
                return self._make_tensor(storage, offset, size, stride)
        raise CheckpointError(
            f"data.pkl calls {function.module}.{function.name} with arguments that do not fit it."
        )


def _allowed_global(arg: str) -> GlobalName:
    module, _, name = arg.partition(" ")
    if (module, name) in _CALLABLE:
        return GlobalName(module, name)
    if module in ("torch", "torch.storage") and name in STORAGE_NAMES:
        return GlobalName(module, name)
    raise CheckpointError(
        f"data.pkl refers to {module}.{name}, which is not on the list of names a state dict "
        "needs; refused, and nothing in the file was executed."
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _short(value: Any) -> str:
    """A bounded description: repr() of a hostile nested value could be enormous."""
    if isinstance(value, GlobalName):
        return f"{value.module}.{value.name}"
    return f"a {type(value).__name__}"
