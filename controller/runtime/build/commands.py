"""One command of a build: what it runs, where, what it may see; and what its failure is called.

Never here: the sandbox that runs it, which is given as a `Run`.
Invariants: a command that fails fails the build, with the command's own last words; whatever it says, little is kept.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from controller.engine.errors import TerminalError, TransientError
from controller.runtime.trees.source import LogLine

BUILD_FAILED = "BuildFailed"
_LAST_WORDS = 12
_LONGEST_LINE = 300
_LONGEST_ANSWER = 8 << 20
_LINE_TAKES = 64
_NETWORK = re.compile(
    r"temporary failure (in name resolution|resolving)|could not resolve|connection (timed out|refused|reset|failed)"
    r"|network is unreachable|failed to fetch|read timed out|max retries exceeded|newconnectionerror|hash sum mismatch"
    r"|\b(eai_again|etimedout|econnreset|econnrefused|enotfound)\b|\b50[234] (bad gateway|service unavailable|gateway)",
    re.IGNORECASE,
)
_ANSWER = re.compile(r"#runwright |(Inst|Conf|Remv) \S+ ")
"""What apt and our own scripts say for us to read: no words about a failure."""
_ERROR = re.compile(r"(E|Err|ERROR|error|fatal|FATAL|npm error|npm ERR!)[:! ]")
_NO_ENVIRONMENT: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Share:
    """A directory of this host that a command sees at `inside`."""

    path: Path
    inside: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command. `root` is the tree that it has as its root, in place; None is a throw-away copy of the host.

    `writable` and `readable` are seen beside the root. `purpose` is what it is to do, for errors.
    """

    argv: tuple[str, ...]
    root: Path | None = None
    cwd: str = "/"
    env: Mapping[str, str] = field(default_factory=lambda: _NO_ENVIRONMENT)
    writable: tuple[Share, ...] = ()
    readable: tuple[Share, ...] = ()
    network: bool = False
    purpose: str = ""


Run = Callable[[Command, LogLine], int]
"""Runs a command in the build sandbox, tells its output line by line, returns its exit status.

Raises TransientError or TerminalError where it could not run, or ran out of time or memory.
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """What the steps of a build work with."""

    run: Run
    log: LogLine

    def do(self, purpose: str, command: Command) -> None:
        """Run `command`. What it says is told, and no more of it kept than an error tells.

        Raises:
            TransientError, TerminalError: BuildFailed, it failed; `purpose` reads as in "cannot install …".
        """
        self._run(purpose, command, self.log)

    def ask(self, purpose: str, command: Command) -> tuple[str, ...]:
        """Run `command`, which is to say something; return the lines that it said.

        Raises:
            TransientError, TerminalError: BuildFailed, it failed, or said more than anybody asked for.
        """
        answer = _Answer()

        def keep(line: str) -> None:
            answer.take(line)
            self.log(line)

        self._run(purpose, command, keep)
        if answer.left < 0:
            raise TerminalError(BUILD_FAILED, f"cannot {purpose}: it said more than {_LONGEST_ANSWER >> 20} MiB")
        return tuple(answer.lines)

    def _run(self, purpose: str, command: Command, told: LogLine) -> None:
        last: deque[str] = deque(maxlen=_LAST_WORDS)

        def keep(line: str) -> None:
            if line.strip() and not _ANSWER.match(line):
                last.append(line)
            told(line)

        self.log(f"runwright: {purpose}")
        status = self.run(replace(command, purpose=purpose), keep)
        if status != 0:
            raise failure(purpose, status, last)


@dataclass(slots=True)
class _Answer:
    """Lines, as long as they are not too many."""

    lines: list[str] = field(default_factory=list)
    left: int = _LONGEST_ANSWER

    def take(self, line: str) -> None:
        self.left -= len(line) + _LINE_TAKES
        if self.left >= 0:
            self.lines.append(line)


def failure(purpose: str, status: int, lines: Iterable[str]) -> TransientError | TerminalError:
    """Return the error for a command that ended with `status`, having said `lines`: what it calls errors comes first.

    What sounds of the network is worth another try.
    """
    last = deque((line[:_LONGEST_LINE] for line in lines if line.strip()), maxlen=_LAST_WORDS)
    said = " | ".join(sorted(dict.fromkeys(last), key=lambda line: not _ERROR.match(line))) or "it said nothing"
    message = f"cannot {purpose}: the command ended with status {status}: {said}"
    kind = TransientError if _NETWORK.search(said) else TerminalError
    return kind(BUILD_FAILED, message)
