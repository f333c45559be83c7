"""How a command ends: bad input is one message on stderr and exit status 1, no traceback.

Path:    launchers' main -> [command]
Errors:  SystemExit with the message; what is not expected goes on as it is, with its traceback.
Source:  ours.
Differs: nothing to compare with.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence

EXPECTED: tuple[type[BaseException], ...] = (ValueError, OSError)


@contextlib.contextmanager
def command(
    name: str,
    argv: Sequence[str],
    *,
    errors: tuple[type[BaseException], ...] = (),
    interrupted: str = "interrupted.",
) -> Iterator[None]:
    """The body of a command that takes flags alone; `errors` are expected besides EXPECTED."""
    try:
        if len(argv) > 1:
            raise ValueError(f"unexpected argument {argv[1]}; flags are --name=value.")
        yield
    except (*EXPECTED, *errors) as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: {interrupted}")
