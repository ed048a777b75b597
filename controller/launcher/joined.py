"""The controller's side of somebody who is in a run: the streams, how it ended, and the orders it can be given.

Never imported by the launcher's process. A session belongs to one user at a time; closing it ends what is inside.
"""

import contextlib
import fcntl
import os
import select
import socket
import stat
import struct
import termios
from collections import deque
from time import monotonic
from typing import Self

from controller.launcher import join_request, protocol
from controller.launcher.join_request import Answer, Ended, JoinRequest, Refused, Started
from controller.launcher.protocol import Decoder

_READ_BYTES = 1 << 16
_PIPE_BYTES = 1 << 18
_WINDOW = struct.Struct("HHHH")
_MOST_CELLS = 65535
_ENTERING_SECONDS = 30.0
_SHORTEST_SECONDS = 0.001  # Of a timeout: 0 would be none.


class JoinRefused(Exception):
    """Nothing was done in the run; `answer` says why."""

    def __init__(self, answer: Refused) -> None:
        super().__init__(answer.message)
        self.answer = answer


class Streams:
    """The two ends of the streams of a session: `given` are its own, `kept` are ours, by name."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Make a pipe for each of `names`. Ours never block."""
        self.given: list[int] = []
        self.kept: dict[str, int] = {}
        try:
            for name in names:
                self._add(name)
        except OSError:
            self.close()
            raise

    def _add(self, name: str) -> None:
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        ours, theirs = (write_fd, read_fd) if name == "stdin" else (read_fd, write_fd)
        self.given.append(theirs)
        self.kept[name] = ours
        os.set_blocking(ours, False)
        with contextlib.suppress(OSError):  # More than /proc/sys/fs/pipe-user-pages-soft allows: so it is smaller.
            fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def close_given(self) -> None:
        """Let go of the ends that were given away."""
        given, self.given = self.given, []
        for fd in given:
            os.close(fd)

    def close(self) -> None:
        """Close all of them."""
        self.close_given()
        kept, self.kept = self.kept, {}
        for fd in kept.values():
            os.close(fd)


class Session:
    """Somebody in a run. `stdin`, `stdout` and `stderr` are non-blocking descriptors, None for one it has not.

    With a terminal, the first two are its one side, and what it writes comes to an end by EIO.
    """

    def __init__(
        self,
        connection: socket.socket,
        streams: Streams,
        terminal: int | None,
        decoder: Decoder,
        answers: deque[Answer],
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._decoder = decoder
        self._answers = answers  # One that ended at once may have said so together with its start.
        self._terminal = terminal
        if terminal is not None:
            os.set_blocking(terminal, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def stdin(self) -> int | None:
        """What is written here is its input."""
        return self._terminal if self._terminal is not None else self._streams.kept.get("stdin")

    @property
    def stdout(self) -> int | None:
        """Its output is read here."""
        return self._terminal if self._terminal is not None else self._streams.kept.get("stdout")

    @property
    def stderr(self) -> int | None:
        """Its other output is read here."""
        return self._streams.kept.get("stderr")

    def fileno(self) -> int:
        """Return a descriptor that is readable when `end` may have something to say."""
        return self._connection.fileno()

    def end(self) -> int | None:
        """Return the exit code if it has ended, else None; waits for nothing.

        Raises:
            JoinRefused: it was lost: its attendant was killed.
        """
        self._connection.settimeout(0)
        try:
            answer = _receive(self._connection, self._decoder, self._answers)[0]
        except BlockingIOError:
            return None
        if isinstance(answer, Ended):
            return answer.exit_code
        raise JoinRefused(_LOST if not isinstance(answer, Refused) else answer)

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Wait for its end and return the exit code.

        Raises:
            TimeoutError: it has not ended in time.
            JoinRefused: it was lost.
        """
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        while (code := self.end()) is None:
            if not poll.poll(None if timeout_seconds is None else timeout_seconds * 1000):
                raise TimeoutError(f"it has not ended in {timeout_seconds} s")
        return code

    def close_stdin(self) -> None:
        """Tell it that its input ends; a terminal's does not, which has a character for that."""
        if (fd := self._streams.kept.pop("stdin", None)) is not None:
            os.close(fd)

    def take_connection(self) -> socket.socket:
        """Return the connection that was made in the run; it is the caller's, and outlives the session.

        Raises:
            JoinRefused: what was handed out is none.
        """
        fd, self._terminal = self._terminal, None
        if fd is None or not stat.S_ISSOCK(os.fstat(fd).st_mode):
            if fd is not None:
                os.close(fd)
            raise JoinRefused(Refused("what was handed out is no connection"))
        return socket.socket(fileno=fd)

    def take_input(self) -> int:
        """Return what writes to the job's standard input, which never blocks; it is the caller's, as a connection is.

        Raises:
            JoinRefused: what was handed out is none.
        """
        fd, self._terminal = self._terminal, None
        if fd is None or not stat.S_ISFIFO(os.fstat(fd).st_mode):
            if fd is not None:
                os.close(fd)
            raise JoinRefused(Refused("what was handed out is no input"))
        return fd

    def resize(self, columns: int, rows: int) -> None:
        """Give its terminal another size; it is told by SIGWINCH. Without a terminal, nothing is done."""
        if self._terminal is not None and 0 <= columns <= _MOST_CELLS and 0 <= rows <= _MOST_CELLS:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, _WINDOW.pack(rows, columns, 0, 0))

    def signal(self, name: str) -> None:
        """Send it a signal, such as TERM; names that are none of those that may be sent do nothing."""
        with contextlib.suppress(OSError):  # It has ended.
            self._connection.settimeout(None)
            self._connection.sendall(protocol.encode({"op": "signal", "name": name}))

    def close(self) -> None:
        """Let go of it, which ends it; a second time does nothing."""
        self._connection.close()
        self._streams.close()
        terminal, self._terminal = self._terminal, None
        if terminal is not None:
            os.close(terminal)


_LOST = Refused("the process that attended it was killed, so it was ended")


def open_session(connection: socket.socket, request: JoinRequest, within_seconds: float = _ENTERING_SECONDS) -> Session:
    """Ask over a connection to a launcher, which is the session's from here on, and return once it is inside.

    Args:
        within_seconds: how long is waited for it, as a run that is frozen meanwhile lets nobody in.

    Raises:
        JoinRefused: nothing was done, or is to be; it says why.
        OSError: the launcher cannot be asked.
    """
    streams = Streams(request.streams)
    terminal: list[int] = []
    try:
        message = protocol.encode({"id": 2, "op": "join"}, join_request.to_text(request))
        sent = socket.send_fds(connection, [message], streams.given)
        if sent < len(message):  # Sending nothing fails, too, where all was done already and the other side has gone.
            connection.sendall(message[sent:])
        streams.close_given()
        decoder = Decoder()
        answers: deque[Answer] = deque()
        try:
            answer, terminal = _receive(connection, decoder, answers, monotonic() + within_seconds)
        except TimeoutError:  # The attendant sees the connection's end, and ends whoever is still on the way.
            raise JoinRefused(Refused(f"nobody was let in for {within_seconds:g} s: try again later")) from None
        if not isinstance(answer, Started):
            raise JoinRefused(answer if isinstance(answer, Refused) else _LOST)
        return Session(connection, streams, terminal[0] if terminal else None, decoder, answers)
    except BaseException:
        streams.close()
        for fd in terminal:
            os.close(fd)
        connection.close()
        raise


def _receive(
    connection: socket.socket, decoder: Decoder, answers: deque[Answer], deadline: float | None = None
) -> tuple[Answer, list[int]]:
    """Return the next answer, and what came with it; `_LOST` if there is none to come.

    Raises:
        TimeoutError: there is none at `deadline`.
    """
    fds: list[int] = []
    while not answers:
        if deadline is not None:
            connection.settimeout(max(_SHORTEST_SECONDS, deadline - monotonic()))
        try:
            received, came, _, _ = socket.recv_fds(connection, _READ_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            received, came = b"", []
        fds += came
        if not received:
            return _LOST, fds
        answers.extend(map(join_request.read_answer, decoder.feed(received)))
    return answers.popleft(), fds
