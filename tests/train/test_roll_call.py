"""The roll call: all come together, or every process hears in words why not."""

import concurrent.futures
import socket
import threading
import time

import pytest

from surgjax.train.roll_call import RollCallError, roll_call, split_address
from tests.train.children import free_port


def _call(members, timeout=1.5, address=None):
    """What each (count, index) got: None, or the text of its error."""
    address = address or f"localhost:{free_port()}"

    def one(member):
        try:
            return roll_call(address, *member, timeout)
        except RollCallError as error:
            return str(error)

    with concurrent.futures.ThreadPoolExecutor(len(members)) as pool:
        return list(pool.map(one, members))


def test_all_come_together_and_the_port_is_free_again():
    address = f"localhost:{free_port()}"
    for _ in range(2):  # the second call takes the same port at once
        assert _call([(4, index) for index in (3, 1, 0, 2)], 20, address) == [None] * 4


def test_others_may_come_before_process_0():
    address = f"localhost:{free_port()}"
    early = threading.Thread(target=roll_call, args=(address, 2, 1, 20))
    early.start()
    time.sleep(0.5)
    roll_call(address, 2, 0, 20)
    early.join(20)
    assert not early.is_alive()


def test_nobody_at_the_address():
    (text,) = _call([(2, 1)], 0.5)
    assert text.startswith("process 1 of 2 found no coordinator at localhost:")
    assert "within 0 s (" in text or "within 1 s (" in text
    assert "Is process 0 running there" in text


def test_the_missing_are_named_to_all():
    texts = _call([(4, 0), (4, 2)])
    assert texts[0] == texts[1]
    assert "only 2 of 4 processes have come" in texts[0] and "missing: 1, 3." in texts[0]


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ((3, 1), "process 1 was started for 3 processes, process 0 for 2"),
        ((2, 5), "process index 5 is not one of 0..1"),
    ],
)
def test_contradictions_are_told_to_all(member, message):
    texts = _call([(2, 0), member], 20)
    assert texts[0] == texts[1] and message in texts[0]


def test_an_index_that_comes_twice():
    texts = _call([(3, 0), (3, 2), (3, 2)], 20)
    assert set(texts) == {"process index 2 came twice: every process needs its own."}


def test_strangers_at_the_port_are_left_alone():
    port = free_port()
    main = threading.Thread(target=roll_call, args=(f"localhost:{port}", 2, 0, 20))
    main.start()
    for text in (b"GET / HTTP/1.1\r\n\r\n", b'{"index": "1"}\n', b"[]\n"):
        for _ in range(100):
            try:
                stranger = socket.create_connection(("localhost", port), 5)
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        with stranger:
            stranger.sendall(text)
    roll_call(f"localhost:{port}", 2, 1, 20)
    main.join(20)
    assert not main.is_alive()


def test_a_port_in_use_is_named():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RollCallError, match=f"cannot listen on port {port} .*take another"):
            roll_call(f"localhost:{port}", 2, 0, 1)


@pytest.mark.parametrize("address", ["host", "host:", ":80", "host:0", "host:99999", "host:a"])
def test_addresses_that_are_none(address):
    with pytest.raises(ValueError, match="HOST:PORT expected"):
        split_address(address)


def test_addresses():
    assert split_address("node01.cluster:1234") == ("node01.cluster", 1234)
    assert split_address("[fe80::1]:1234") == ("fe80::1", 1234)
