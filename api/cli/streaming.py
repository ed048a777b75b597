"""A process in a run and this one: its streams become ours, our terminal becomes its, until it ends.

One poll over the socket, standard input and signals. With a terminal, keys go through as they are pressed, and its size
follows ours; without one, SIGINT, SIGTERM and their like are sent on to it.
"""

import contextlib
import json
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from types import FrameType

from api import channels
from api.channels import Channel
from api.cli.problems import CommandFailed
from api.client_stream import Stream

_READ_BYTES = 1 << 15
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_SENT_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_NO_ANSWER = 255


def is_terminal() -> bool:
    """Whether standard input is a terminal, whose keys can be passed on."""
    return os.isatty(_STDIN)


def converse(stream: Stream, *, takes_input: bool, is_terminal: bool, sends_signals: bool = True) -> int:
    """Pass everything on until the process has ended; return its exit code.

    Raises:
        CommandFailed: it was lost.
        Unreachable: the connection broke.
    """
    passed_on = (signal.SIGWINCH,) if is_terminal else _SENT_ON if sends_signals else ()
    with _signals(passed_on) as signal_fd, _raw(is_terminal=is_terminal):
        return _Conversation(stream, signal_fd, takes_input=takes_input, is_terminal=is_terminal).run()


def feed(stream: Stream) -> None:
    """Pass standard input on until that has ended, or the process; in any thread.

    Raises:
        CommandFailed, Unreachable: there is no telling what of it arrived.
    """
    _Conversation(stream, None, takes_input=True, is_terminal=False).run()


class _Conversation:
    """What goes on until the end."""

    def __init__(self, stream: Stream, signal_fd: int | None, *, takes_input: bool, is_terminal: bool) -> None:
        self._stream = stream
        self._signal_fd = signal_fd
        self._takes_input = takes_input
        self._is_terminal = is_terminal
        self._status: dict[str, object] | None = None

    def run(self) -> int:
        if self._is_terminal:
            self._tell_size()
        self._take_messages()
        while self._status is None and not self._stream.is_over:
            events = dict(self._poll().poll())
            if self._signal_fd in events:
                self._take_signals(self._signal_fd)
            if events.get(self._stream.fileno(), 0) & select.POLLOUT:
                self._stream.flush()
            if events.get(self._stream.fileno(), 0) & ~select.POLLOUT:
                self._take_messages()
            if _STDIN in events:
                self._take_input()
        return self._exit_code()

    def _poll(self) -> select.poll:
        poll = select.poll()
        if self._signal_fd is not None:
            poll.register(self._signal_fd, select.POLLIN)
        poll.register(self._stream, select.POLLIN | (select.POLLOUT if self._stream.is_behind else 0))
        if self._takes_input and self._stream.may_send:
            poll.register(_STDIN, select.POLLIN)
        return poll

    def _take_messages(self) -> None:
        for message in self._stream.receive():
            channel, payload = channels.split(message)
            match channel:
                case Channel.STDOUT:
                    _write(_STDOUT, payload)
                case Channel.STDERR:
                    _write(_STDERR, payload)
                case Channel.STATUS:
                    self._status = _object(payload)

    def _take_input(self) -> None:
        content = os.read(_STDIN, _READ_BYTES)
        if content:
            self._stream.send(channels.frame(Channel.STDIN, content))
            return
        self._takes_input = False
        self._stream.send(channels.frame(Channel.CLOSE, bytes((Channel.STDIN,))))

    def _take_signals(self, signal_fd: int) -> None:
        for number in os.read(signal_fd, _READ_BYTES):
            if number == signal.SIGWINCH:
                self._tell_size()
            elif number in _SENT_ON:
                name = signal.Signals(number).name.removeprefix("SIG")
                self._stream.send(channels.frame(Channel.SIGNAL, name.encode()))

    def _tell_size(self) -> None:
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(_STDIN)
            self._stream.send(channels.resize(size.columns, size.lines))

    def _exit_code(self) -> int:
        status = self._status or {}
        code = channels.exit_code_of(status)
        if code is None:
            raise CommandFailed(str(status.get("message") or "the stream ended without an exit code"), _NO_ANSWER)
        return code


def _write(fd: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:  # Somebody who shares our terminal made it so.
            select.select((), (fd,), ())


def _object(payload: bytes) -> dict[str, object]:
    try:
        said = json.loads(payload)
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {"message": "the server said nothing that can be read"}


@contextlib.contextmanager
def _signals(numbers: tuple[signal.Signals, ...]) -> Iterator[int]:
    """Give a descriptor from which the numbers of these signals can be read as they come."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = {number: signal.signal(number, _ignore) for number in numbers}
    previous_fd = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    try:
        yield read_fd
    finally:
        signal.set_wakeup_fd(previous_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read_fd)
        os.close(write_fd)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    return None


@contextlib.contextmanager
def _raw(*, is_terminal: bool) -> Iterator[None]:
    """Have our terminal pass on every key, and be as it was at the end."""
    if not is_terminal:
        yield
        return
    sys.stdout.flush()
    before = termios.tcgetattr(_STDIN)
    tty.setraw(_STDIN)
    try:
        yield
    finally:
        termios.tcsetattr(_STDIN, termios.TCSADRAIN, before)
