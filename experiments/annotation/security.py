"""Who may talk to the server: the page it served, by its token, on this machine.

Path:    requests -> [security] -> server
Errors:  Refused (403), a sentence.
Source:  ours; headers as the Fetch and CSP standards name them.
Differs: a server on 127.0.0.1 alone is open to every site that the browser shows and to every user
         of the machine. The token keeps out both; Host keeps out names that another site points at
         127.0.0.1 (DNS rebinding), and Origin its scripts.
"""

import hmac
import re
from collections.abc import Awaitable, Callable

from aiohttp import web

TOKEN_HEADER = "X-Surgjax-Token"
_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the page's address holds the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "surgjax",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(RuntimeError):
    """Not for this client."""


async def add_headers(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """On every answer, errors included; a handler may have set its own Cache-Control."""
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


def guard(token: str):
    """A middleware that lets through what the page with this token asks."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = _only(request, "Host")
        if not _HOST.fullmatch(host):
            raise Refused("This server answers at 127.0.0.1 and localhost only.")
        if "Origin" in request.headers and _only(request, "Origin") != f"http://{host}":
            raise Refused("Requests that other sites make are refused.")
        if request.path.startswith("/api") and not hmac.compare_digest(
            _only(request, TOKEN_HEADER).encode("utf-8", "replace"), token.encode()
        ):
            raise Refused("The token is wrong: open the address that the terminal shows.")
        return await handler(request)

    return check


def _only(request: web.Request, name: str) -> str:
    """The header's value; "" where it is missing or given twice."""
    values = request.headers.getall(name, [])
    return values[0] if len(values) == 1 else ""
