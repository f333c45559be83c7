"""Processes find each other before JAX starts, so that what is wrong can be said in words.

Path:    coordinator address, count, index -> [roll_call] -> jax.distributed
Units:   seconds.
Errors:  RollCallError in every process: nobody answers at the address, who is missing, which two
         counts differ, which index came twice.
Differs: jax.distributed ends the process from C++ with a stack trace when a process is missing or
         an index is too high, and lets a process that was told another count pass.
"""

import contextlib
import json
import socket
import time
from collections.abc import Iterator

_LONGEST = 4096  # bytes of a message
_RETRY = 0.2


class RollCallError(RuntimeError):
    """The processes of a run cannot come together; the text says why and what to do."""


def split_address(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT; an IPv6 host stands in brackets."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"coordinator address {address!r}: HOST:PORT expected.")
    return host.removeprefix("[").removesuffix("]"), int(port)


def roll_call(address: str, count: int, index: int, timeout_s: float) -> None:
    """Returns in all `count` processes once each index has come; index 0 listens at `address`.

    The port is free again when this returns.
    """
    host, port = split_address(address)
    deadline = time.monotonic() + timeout_s
    if index:
        _answer(host, port, count, index, deadline, timeout_s)
    else:
        with _listen(port) as server:
            _call(server, address, count, deadline, timeout_s)


@contextlib.contextmanager
def _listen(port: int) -> Iterator[socket.socket]:
    is_dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if is_dual else socket.AF_INET
    try:
        server = socket.create_server(
            ("", port), family=family, dualstack_ipv6=is_dual, backlog=1024
        )
    except OSError as error:
        raise RollCallError(
            f"process 0 cannot listen on port {port} ({error.strerror}): another run may be using "
            "it; take another port."
        ) from None
    with server:
        yield server


def _call(
    server: socket.socket, address: str, count: int, deadline: float, timeout_s: float
) -> None:
    """Process 0: gathers the others, then tells all of them the same."""
    here, peers, problem = set[int](), list[socket.socket](), ""
    with contextlib.ExitStack() as open_sockets:
        while len(here) < count - 1 and not problem:
            try:
                server.settimeout(max(deadline - time.monotonic(), 0.001))
                peer, _ = server.accept()
            except TimeoutError:
                missing = sorted(set(range(1, count)) - here)
                problem = (
                    f"after {timeout_s:.0f} s only {len(here) + 1} of {count} processes have come "
                    f"to {address}; missing: {', '.join(map(str, missing))}. Were they started, "
                    "and with this address?"
                )
                break
            open_sockets.enter_context(peer)
            said = _receive(peer, min(deadline, time.monotonic() + 5))
            index = said.get("index") if said else None
            if said is None or not isinstance(index, int):
                peer.close()  # not one of ours
                continue
            peers.append(peer)
            problem = _problem(here, count, index, said.get("count"))
            here.add(index)
        for peer in peers:
            _send(peer, {"problem": problem})
        for peer in peers:  # they hang up first, so that the port is free at once
            _receive(peer, time.monotonic() + 5)
    if problem:
        raise RollCallError(problem)


def _problem(here: set[int], count: int, index: int, its_count: object) -> str:
    """What is wrong with a process that has come; empty if nothing is."""
    if its_count != count:
        return (
            f"process {index} was started for {its_count} processes, process 0 for {count}: every "
            "process needs the same number."
        )
    if not 0 <= index < count:
        return f"process index {index} is not one of 0..{count - 1}."
    if index in here or index == 0:
        return f"process index {index} came twice: every process needs its own."
    return ""


def _answer(
    host: str, port: int, count: int, index: int, deadline: float, timeout_s: float
) -> None:
    """Another process: says who it is, and hears whether all is well."""
    last = "no answer"
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(
                (host, port), timeout=max(deadline - time.monotonic(), 0.001)
            ) as server:
                _send(server, {"count": count, "index": index})
                said = _receive(server, deadline + 10)  # process 0 may have begun later
            if said is None or "problem" not in said:
                last = "the connection was closed without an answer"
            elif said["problem"]:
                raise RollCallError(said["problem"])
            else:
                return
        except OSError as error:
            last = error.strerror or str(error)
        time.sleep(_RETRY)
    raise RollCallError(
        f"process {index} of {count} found no coordinator at {host}:{port} within {timeout_s:.0f} "
        f"s ({last}). Is process 0 running there, and does a firewall let the port through?"
    )


def _send(peer: socket.socket, message: dict) -> None:
    with contextlib.suppress(OSError):  # a peer that has gone needs no message
        peer.sendall(json.dumps(message).encode() + b"\n")


def _receive(peer: socket.socket, deadline: float) -> dict | None:
    """A message; None if none comes in time, or something else does."""
    text = b""
    try:
        while not text.endswith(b"\n") and len(text) < _LONGEST:
            peer.settimeout(max(deadline - time.monotonic(), 0.001))
            piece = peer.recv(_LONGEST)
            if not piece:
                return None
            text += piece
        message = json.loads(text)
    except (OSError, ValueError):
        return None
    return message if isinstance(message, dict) else None
