"""Who the annotation server answers, and what every answer carries."""

import asyncio
import re
import socket

import pytest

from experiments.annotation import page_files
from experiments.annotation.serving import bound, port_of
from tests.annotation.served import TOKEN, serve

API = [
    ("GET", "/api/session"),
    ("GET", "/api/timeline"),
    ("GET", "/api/frames/0.jpg"),
    ("GET", "/api/masks/0"),
    ("GET", "/api/events"),
    ("POST", "/api/edit"),
    ("POST", "/api/look"),
    ("POST", "/api/track"),
    ("POST", "/api/cancel"),
    ("POST", "/api/export"),
    ("GET", "/api/nothing"),
]


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "t\u00f6ken"])
def test_the_token(tmp_path, token):
    async def use(client):
        for method, path in API:
            answer = await client.ask(method, path, token=token)
            assert answer.status == 403 and "token is wrong" in answer.error
        # Not in the address either: addresses end up in logs.
        answer = await client.get(f"/api/session?token={TOKEN}", token=token)
        assert answer.status == 403

    assert serve(tmp_path, use).calls == ["close"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:9000"}, 200),  # a tunnel
        ({"Host": "127.0.0.1:9000", "Origin": "http://127.0.0.1:9000"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "[::1]:8765", "Origin": "http://[::1]:8765"}, 200),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 200),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9001"}, 403),
        ({"Host": "localhost:9000", "Origin": "https://localhost:9000"}, 403),
        ({"Host": "localhost:9000", "Origin": "http://127.0.0.1:9000"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8765", "Origin": "http://evil.example:8765"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "localhost:9000@evil.example"}, 403),
        ({"Host": "127.0.0.1:123456"}, 403),
        ({"Host": ""}, 403),
    ],
)
def test_host_and_origin(tmp_path, headers, status):
    async def use(client):
        for path in ("/api/session", "/", "/static/index.html"):
            answer = await client.get(path, headers=headers)
            assert answer.status == status
            if status == 403:
                assert re.search("127.0.0.1 and localhost only|other sites", answer.error)
        answer = await client.ask("POST", "/api/cancel", headers=headers)
        assert answer.status == status

    serve(tmp_path, use)


def test_headers_on_every_answer(tmp_path):
    async def use(client):
        answers = [
            await client.get("/"),
            await client.get("/static/index.html"),
            await client.get("/static/gone.js"),
            await client.get("/api/session"),
            await client.get("/api/session", token="wrong"),
            await client.get("/api/frames/0.jpg"),
            await client.get("/api/frames/99.jpg"),
            await client.get("/api/edit"),
            await client.ask("DELETE", "/"),
            await client.ask("POST", "/api/edit", data=b"{"),
            await client.ask("POST", "/api/edit", data=b" " * 300_000),
            await client.post("export", formats=["masks"]),
        ]
        async with client.events() as stream:
            answers.append(stream.response)
        assert [answer.status for answer in answers] == [
            *(200, 200, 404, 200, 403, 200, 404, 405, 405, 400, 413, 400, 200)
        ]
        for answer in answers:
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert "frame-ancestors 'none'" in policy and "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cache-Control"]
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert answer.headers["Server"] == "surgjax"

    serve(tmp_path, use)


@pytest.mark.parametrize(
    "name",
    [
        "../server.py",
        "..%2fserver.py",
        "%2e%2e/server.py",
        "%2e%2e%2fserver.py",
        "..%5cserver.py",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "sub/inner.js",
        "sub%2finner.js",
        "sub",
        ".",
        "",
        "index.html%00.js",
        "secret.txt",
    ],
)
def test_nothing_but_the_pages_files(tmp_path, monkeypatch, name):
    page = tmp_path / "page"
    (page / "sub").mkdir(parents=True)
    (page / "sub" / "inner.js").write_text("inner")
    (page / "index.html").write_text("the page")
    (page / "secret.txt").write_text("no type of ours")
    monkeypatch.setattr(page_files, "FOLDER", page)

    async def use(client):
        for path in (f"/static/{name}", f"/api/frames/{name}.jpg"):
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            assert answer.split()[1] in (b"403", b"404"), answer
        answer = await client.get("/static/index.html", token=None)
        assert answer.body == b"the page"
        assert (await client.get("/?token=any", token=None)).body == b"the page"

    serve(tmp_path, use)


def test_types_of_the_pages_files(tmp_path, monkeypatch):
    monkeypatch.setattr(page_files, "FOLDER", tmp_path)
    kinds = {
        "index.html": "text/html; charset=utf-8",
        "a.js": "text/javascript; charset=utf-8",
        "a.css": "text/css; charset=utf-8",
        "a.svg": "image/svg+xml; charset=utf-8",
        "a.png": "image/png",
    }
    for name in kinds:
        (tmp_path / name).write_bytes(b"x")

    async def use(client):
        for name, kind in kinds.items():
            assert (await client.get(f"/static/{name}")).headers["Content-Type"] == kind

    serve(tmp_path / "out", use)


def test_bound_to_this_machine_alone():
    with bound(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
        assert listening.family == socket.AF_INET
        with socket.socket() as other:
            other.settimeout(1)
            with pytest.raises(OSError):  # 127.0.0.2 is this machine too, and not bound
                other.connect(("127.0.0.2", port_of(listening)))
