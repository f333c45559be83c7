r"""Serves the page on the scripted session: nothing to load, nothing to compile.

python -m tests.annotation.serve_fake --port=8765 --delay=0.05
"""

import argparse
import tempfile

from experiments.annotation.serving import listen, port_of, serve
from tests.annotation.fake_session import FakeSession


def main() -> None:
    """Until Ctrl-C."""
    parser = argparse.ArgumentParser(description="The annotation page on a scripted session.")
    parser.add_argument("--port", type=int)
    parser.add_argument("--token", default="fake")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--delay", type=float, default=0.03, help="seconds for a tracked frame")
    options = parser.parse_args()
    listening = listen(options.port)
    with tempfile.TemporaryDirectory() as output:
        session = FakeSession(
            output, options.frames, options.width, options.height, delay=options.delay
        )
        url = f"http://127.0.0.1:{port_of(listening)}/?token={options.token}"
        serve(session, listening, options.token, lambda: print(url, flush=True))


if __name__ == "__main__":
    main()
