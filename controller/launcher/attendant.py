"""The attendant of one who went into a run: it waits outside, passes on orders, and tells how it ended.

It copies nothing: the streams go straight from the command to whoever asked. When its connection ends, so does what it
attends; when it is killed itself, the kernel ends that. Never here: how one gets inside (`joining`).
"""

import contextlib
import json
import os
import select
import signal
import socket
from collections.abc import Sequence

from controller.launcher import join_request, outcome, protocol
from controller.launcher.join_request import Answer, Ended, Refused, Started
from controller.launcher.protocol import Decoder, Message, ProtocolError

_READ_BYTES = 1 << 16
_SIGNALS = {
    "HUP": signal.SIGHUP,
    "INT": signal.SIGINT,
    "QUIT": signal.SIGQUIT,
    "TERM": signal.SIGTERM,
    "KILL": signal.SIGKILL,
    "USR1": signal.SIGUSR1,
    "USR2": signal.SIGUSR2,
}
"""What may be sent to it, by name."""


def tell(talk: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Say something between attendant, passage and entrant.

    Raises:
        OSError: the other side has ended.
    """
    socket.send_fds(talk, [json.dumps(message).encode()], list(fds))


def answer(connection: socket.socket, said: Answer, fds: Sequence[int] = ()) -> None:
    """Answer whoever asked; if it has gone, nobody is told."""
    connection.settimeout(None)
    with contextlib.suppress(OSError):
        socket.send_fds(connection, [protocol.encode(join_request.answer_to_plain(said))], list(fds))


class Attendant:
    """Attends one entrant; `attend` is called once, and the process is to end when it returns.

    Args:
        talk: to the passage and the entrant; it ends when one has ended and the other executed its command.
        passage: the process that forks the entrant, a child of this one.
    """

    def __init__(self, connection: socket.socket, talk: socket.socket, passage: int) -> None:
        self._connection = connection
        self._talk = talk
        self._passage = passage
        self._decoder = Decoder()
        self._handed_out: list[int] = []  # A terminal or a connection.
        self._entrant: int | None = None
        self._refused: Refused | None = None

    def attend(self) -> None:
        """See it in, and to its end."""
        if not self._see_in():
            return
        pidfd = os.pidfd_open(self._entrant or 0)  # A child that nobody else reaps: it is who it was.
        try:
            answer(self._connection, Started(), self._handed_out)
            for fd in self._handed_out:
                os.close(fd)
            self._until_end(pidfd)
        finally:
            os.close(pidfd)

    def _see_in(self) -> bool:
        """Return whether it is inside and goes on; otherwise whoever asked was told why not."""
        is_wanted = True
        while is_wanted and (message := self._hear()) is not None:
            is_wanted = self._note(message)
        if self._refused is None and self._entrant is not None and is_wanted:
            return True
        if self._entrant is not None:
            self._signal(signal.SIGKILL)
            os.waitpid(self._entrant, 0)
        ended = Refused("the run has ended", run_is_over=True)
        answer(self._connection, self._refused or ended)
        return False

    def _hear(self) -> Message | None:
        """Return what passage or entrant say; None when both have no more to say, or nobody wants to know any more."""
        poll = select.poll()
        poll.register(self._talk, select.POLLIN)
        poll.register(self._connection, select.POLLRDHUP)
        events = dict(poll.poll())
        if self._connection.fileno() in events:
            return {"unwanted": True}
        try:
            received, fds, _, _ = socket.recv_fds(self._talk, _READ_BYTES, 1)
        except ConnectionError:
            return None
        self._handed_out += fds
        return json.loads(received) if received else None

    def _note(self, message: Message) -> bool:
        """Take note of a message; return whether to go on."""
        match message:
            case {"unwanted": True}:
                return False
            case {"pid": int(pid)}:
                self._entrant = pid
                os.waitpid(self._passage, 0)  # Then the entrant is ours, and may be told to go on.
                with contextlib.suppress(OSError):  # It was ended by its run.
                    self._talk.send(b"G")
            case {"refused": str(why)}:
                exit_code = message.get("exit_code")
                is_over = bool(message.get("over"))
                self._refused = Refused(why, exit_code if isinstance(exit_code, int) else None, is_over)
        return True

    def _until_end(self, pidfd: int) -> None:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(self._connection, select.POLLIN)
        is_wanted = True
        while pidfd not in (events := dict(poll.poll())):
            if is_wanted and self._connection.fileno() in events and not self._take_orders():
                is_wanted = False
                poll.unregister(self._connection)
                self._signal(signal.SIGKILL)
        _, status = os.waitpid(self._entrant or 0, 0)
        code, number = outcome.exit_of(status)
        answer(self._connection, Ended(code, number))

    def _take_orders(self) -> bool:
        """Do as whoever asked says; False if it has gone, or talks nonsense."""
        try:
            received = self._connection.recv(_READ_BYTES)
            for order in self._decoder.feed(received):
                if order.get("op") == "signal" and (number := _SIGNALS.get(str(order.get("name")))):
                    self._signal(number)
        except (ConnectionError, ProtocolError):
            return False
        return bool(received)

    def _signal(self, number: int) -> None:
        """Send a signal to it and its process group; before it made that, to it alone."""
        if self._entrant is None:
            return
        for send in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                send(self._entrant, number)
                return
