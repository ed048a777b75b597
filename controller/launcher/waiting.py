"""A ready supervisor until it has its run: it makes the sandbox it is told of, waits, and lets go of what went stale.

Invariant: what was made ahead is used only if it would be made the same way now; else the supervisor says so, and ends
without a trace, and the launcher gives the run to another.
"""

import contextlib
import select
import socket
from collections import deque

from controller.launcher import protocol, runspec
from controller.launcher.crew import Crew
from controller.launcher.job_process import CALM_SECONDS
from controller.launcher.pool import KEEP_SECONDS
from controller.launcher.protocol import Decoder, Message
from controller.launcher.receipt import NotEnforced
from controller.launcher.runspec import RunSpec
from controller.sandbox.errors import SandboxError
from controller.sandbox.spec import SandboxSpec

_READ_BYTES = 1 << 16


def wait_for_run(channel: socket.socket, ready: Crew | Exception) -> RunSpec | None:
    """Return the run; None if there will be none: then there is nothing left to do."""
    messages = _Messages(channel)
    shared: SandboxSpec | None = None
    while (message := messages.next(ready, made=shared is not None)) is not None:
        match message:
            case {"op": "make", protocol.ATTACHED: (bytes(text),)} if shared is None:
                shared = _make(text, ready)
                if shared is None:
                    break
            case {"op": "run", protocol.ATTACHED: (bytes(own),)} if shared is not None and _is_current(ready):
                return _read(channel, own, shared)
            case {"op": "run", protocol.ATTACHED: (bytes(own), bytes(text))} if shared is None:
                return _read(channel, own, text)
            case _:
                break
    answer(channel, {"stale": True})  # Read if a run was on its way here.
    return None


def answer(channel: socket.socket, message: Message, keep_fds: tuple[int, ...] = ()) -> None:
    """Answer, and have the launcher keep `keep_fds` until this process has ended."""
    with channel, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        # Suppressed: it was killed. Whoever comes after it finds the claim.
        socket.send_fds(channel, [protocol.encode(message)], keep_fds)


class Answer:
    """That a run is claimed, to be said once.

    Who hears it gets the CPU of who says it, as it wakes up: so it is said once there is something for others to do.
    """

    def __init__(self, channel: socket.socket, message: Message, keep_fds: tuple[int, ...]) -> None:
        self._channel = channel
        self._message = message
        self._keep_fds = keep_fds
        self._is_said = False

    def say(self) -> None:
        """Say it, if it was not said so far."""
        if not self._is_said:
            self._is_said = True
            answer(self._channel, self._message, self._keep_fds)


def _make(text: bytes, ready: Crew | Exception) -> SandboxSpec | None:
    """Make the sandbox; None if it cannot be: the run shall say why, if one comes, made from nothing."""
    if isinstance(ready, Exception):
        return None
    try:
        shared = runspec.read_shared(text)
        ready.make_shared(shared)
    except (SandboxError, NotEnforced, OSError, ValueError):
        return None
    return shared


def _is_current(ready: Crew | Exception) -> bool:
    return not isinstance(ready, Exception) and ready.is_current()


def _read(channel: socket.socket, own: bytes, shared: SandboxSpec | bytes) -> RunSpec | None:
    try:
        return runspec.read_own(own, runspec.read_shared(shared) if isinstance(shared, bytes) else shared)
    except ValueError as error:
        answer(channel, {"error": str(error), "kind": "invalid"})
        return None


class _Messages:
    """What the launcher says, one message after another."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._decoder = Decoder()
        self._arrived: deque[Message] = deque()
        self._rehearsed = False

    def next(self, ready: Crew | Exception, *, made: bool) -> Message | None:
        """Return the next message; None if there is none, as the launcher ended or what was `made` went stale."""
        while not self._arrived:
            if isinstance(ready, Crew) and not self._comes_in_time(ready, made=made):
                return None
            received = self._channel.recv(_READ_BYTES)
            if not received:
                return None
            self._arrived.extend(self._decoder.feed(received))
        return self._arrived.popleft()

    def _comes_in_time(self, ready: Crew, *, made: bool) -> bool:
        """Wait for something to read, as long as `ready` is to be kept; rehearse if there is time."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        if not self._rehearsed and not poll.poll(CALM_SECONDS * 1000):
            self._rehearsed = True
            ready.rehearse()
        if not made:
            return True
        poll.register(ready.mounts_fd, select.POLLPRI)
        events = dict(poll.poll(KEEP_SECONDS * 1000))
        return bool(events) and ready.mounts_fd not in events  # It says so once: so whatever else there is.
