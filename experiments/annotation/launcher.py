"""Opens a video for annotation and serves its page: what `experiments.annotate` calls.

Path:    flags -> [launcher] -> AnnotationSession -> serving
Units:   seconds; frames per second.
Errors:  ValueError or OSError naming the flag, before anything is written.
Source:  ours.
Differs: nothing to compare with.
"""

import contextlib
import dataclasses
import functools
import getpass
import resource
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.annotation.serving import listen, port_of, serve
from experiments.track_options import TrackOptions, check_options, load_predictor
from surgjax.inference.compilation_cache import enable_cache
from surgjax.inference.devices import describe_devices, unused_gpu
from surgjax.inference.frames import open_video
from surgjax.inference.prompt_file import read_prompts
from surgjax.memory.registry import options_for, stated

_OPEN_FILES = 4096  # an object keeps seven open, and there may be 254
_say = functools.partial(print, flush=True)  # the address is needed at once, also through a pipe


@dataclasses.dataclass(frozen=True)
class AnnotateOptions:
    """The flags of the command; the same names and defaults."""

    video: str
    output: str | None = None
    prompts: str | None = None
    checkpoint: str | None = None
    model: str | None = None
    image_size: int | None = None
    precision: str = "fp32"
    memory: str = "recent"
    memory_options: str = ""
    random_weights: bool = False
    port: int | None = None
    open_browser: bool = False

    @property
    def folder(self) -> Path:
        """Where annotations go."""
        return Path(self.output or f"{Path(self.video).resolve().stem}_annotations")

    def for_tracking(self) -> TrackOptions:
        """The same of `track`, whose checks and predictor are used."""
        common = {field.name for field in dataclasses.fields(TrackOptions)}
        fields = dataclasses.fields(self)
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields if f.name in common}
        values |= {"output": str(self.folder), "prompts": self.prompts or ""}
        return TrackOptions(**values)


def open_session(
    predictor: Any, options: AnnotateOptions, memory: str, say: Callable[[str], None]
) -> Any:
    """The session, on what the output folder holds of an earlier one; `memory` is the predictor's
    policy with its options, in words."""
    from surgjax.annotation.session import AnnotationSession

    return AnnotationSession.open(
        predictor, options.video, options.folder, prompts=options.prompts, memory=memory, say=say
    )


def run(
    options: AnnotateOptions,
    load: Callable[[TrackOptions], Any] = load_predictor,
    open_on: Callable[..., Any] = open_session,
    say: Callable[[str], None] = _say,
) -> None:
    """Everything but flag parsing; returns when the server was stopped."""
    tracking = options.for_tracking()
    check_options(tracking)
    allow_open_files()
    _check_folder(options)
    with open_video(options.video) as source:
        if options.prompts:
            read_prompts(options.prompts, source.width, source.height, source.num_frames)
        policy = options_for(tracking.memory, tracking.memory_options, source.fps or tracking.fps)
        tracking = dataclasses.replace(tracking, memory_options=policy)
        taken = f"no frame rate, {tracking.fps:g} fps taken"
        rate = f"{source.fps:g} fps" if source.fps else taken
        size = f"{source.num_frames} frames, {source.width}x{source.height}, {rate}"
    with contextlib.closing(listen(options.port)) as listening:
        cached = _announce(say)
        say(f"video: {options.video}, {size}")
        predictor = load(tracking)
        side, weights = predictor.config.image_size, options.checkpoint or "bundled weights"
        weights = "random weights: masks mean nothing" if options.random_weights else weights
        say(f"model: {predictor.config.name} ({weights}), {side} px, {options.precision}")
        memory = stated(options.memory, policy)
        say(f"memory: {memory}")
        session = open_on(predictor, options, memory, say)
        try:
            say("compiling...")
            session.warm_up()
            note = " (cached for next time)" if cached else ""
            say(f"compiling... done {predictor.programs.compile_seconds:.1f} s{note}")
        except BaseException:
            session.close()
            raise
        token = secrets.token_urlsafe(24)
        serve(session, listening, token, lambda: _ready(options, port_of(listening), token, say))
    say(f"stopped; the annotations are in {options.folder}")


def allow_open_files() -> None:
    """Raises what the shell allows, often 1024 or 256, as far as the system lets it."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if most == resource.RLIM_INFINITY else min(_OPEN_FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _check_folder(options: AnnotateOptions) -> None:
    """What would be written over, or mixed with the frames."""
    folder = options.folder
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output={folder} is a file; a folder expected.")
    if folder.resolve() == Path(options.video).resolve():
        raise ValueError(f"--output={folder} is the folder of the video's frames; take another.")


def _announce(say: Callable[[str], None]) -> bool:
    """The device. Returns whether programs will be cached."""
    say(f"device: {describe_devices()}")
    if unused_gpu():
        say("  an NVIDIA driver is present but JAX does not use it: pip install 'surgjax[cuda]'")
    try:
        enable_cache()
    except OSError as error:
        say(f"  compiled programs are not kept: {error}")
        return False
    return True


def _ready(options: AnnotateOptions, port: int, token: str, say: Callable[[str], None]) -> None:
    url = f"http://127.0.0.1:{port}/?token={token}"
    say(f"open: {url}")
    say(
        "from another computer: "
        f"ssh -L {port}:127.0.0.1:{port} {getpass.getuser()}@{socket.gethostname()}, "
        "then open the same address there"
    )
    say(f"Ctrl-C stops the server; nothing is lost, every change is saved in {options.folder}")
    if options.open_browser:  # some browsers return only when they are closed
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
