"""The commands of a declared build in the build sandbox: a `Run` for them, with one deadline for all of them together.

Commands on the network are given the host's configuration of its tools, and the local directories that it names.
Never here: what is run.
Invariant: a command that ran out of time, memory or space fails the build with that as its reason.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from controller.cgroup.limits import Limits
from controller.engine.clock import Clock
from controller.engine.errors import TerminalError, TransientError
from controller.runtime.build import apt_config, host_config
from controller.runtime.build.commands import BUILD_FAILED, Command
from controller.runtime.build.order import BuildRun
from controller.runtime.build.sandbox import BuildEnd, BuildHost, BuildResult, HostOverlay, TreeRoot, run_build
from controller.runtime.trees.source import LogLine

_TRANSIENT = frozenset({BuildEnd.NO_SPACE, BuildEnd.LOST})
_LOCAL = re.compile(r"(?:file://|(?<![\w/:.]))(/[\w.+@-][\w.+@/-]*)")
_INDEX = re.compile(r"(?m)^\s*(?:find[-_]links|(?:extra[-_])?index[-_]url)\s*=\s*((?:.*\n?)(?:^[ \t]+.*\n?)*)")
_INDEX_VARIABLES = ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")


@dataclass
class Sandboxed:
    """Runs the commands of one build. Its scratch directories come and go below `scratch`."""

    name: str
    host: BuildHost
    clock: Clock
    scratch: Path
    limits: Limits
    timeout_seconds: float
    tick: Callable[[], None] | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _started: float | None = None

    def __call__(self, command: Command, log: LogLine) -> int:
        """Run `command`, return its exit status.

        Raises:
            TransientError, TerminalError: it could not start, or ran out of what it may use.
        """
        if self._started is None:
            self._started = self.clock.monotonic()
        left = self.timeout_seconds - (self.clock.monotonic() - self._started)
        if left <= 0:
            raise self._too_late(command)
        result = run_build(self._build_run(command, left), self.host, log, tick=self.tick)
        return self._status(command, result)

    def _build_run(self, command: Command, left_seconds: float) -> BuildRun:
        files: Mapping[str, str] = {}
        readable = [(share.path, share.inside) for share in command.readable]
        if command.network:
            config = host_config.look(self.host.environment)
            own = {} if command.root is None else config.system_files
            files = {**own, **self.host.files}
            if command.root is None:
                readable += apt_config.shares(self.host.environment)
            else:
                readable += [(path, str(path)) for path in local_indexes(self.host.environment, files)]
        return BuildRun(
            name=self.name,
            argv=command.argv,
            env={"HOME": "/root", **(self.host.environment if command.network else {}), **command.env},
            cwd=command.cwd,
            root=HostOverlay() if command.root is None else TreeRoot(command.root),
            scratch=self.scratch / f"scratch-{next(self._numbers)}",
            limits=self.limits,
            timeout_seconds=left_seconds,
            writable=tuple((share.path, share.inside) for share in command.writable),
            readable=tuple(readable),
            files=files,
            network=command.network,
        )

    def _status(self, command: Command, result: BuildResult) -> int:
        if result.reason is BuildEnd.EXITED and result.exit_code is not None:
            return result.exit_code
        if result.reason is BuildEnd.DEADLINE:
            raise self._too_late(command)
        said = " | ".join(line for line in result.tail if line.strip())
        message = f"cannot build {self.name}: {result.message or result.reason}: {said or 'it said nothing'}"
        if result.reason in _TRANSIENT:
            raise TransientError("InsufficientSpace" if result.reason is BuildEnd.NO_SPACE else BUILD_FAILED, message)
        raise TerminalError(BUILD_FAILED, message)

    def _too_late(self, command: Command) -> TerminalError:
        step = f"{self.name}: cannot {command.purpose}" if command.purpose else self.name
        why = f"the build took longer than {self.timeout_seconds:.0f} seconds in all"
        return TerminalError(BUILD_FAILED, f"cannot build {step}: {why}: raise spec.build.resources.timeoutSeconds")


def local_indexes(environment: Mapping[str, str], files: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the directories of this host that pip is configured to take packages from; those that are not there, not.

    >>> local_indexes({"PIP_FIND_LINKS": "/usr https://host/simple"}, {})
    (PosixPath('/usr'),)
    """
    texts = [environment.get(name, "") for name in _INDEX_VARIABLES]
    texts += [match for path, text in files.items() if path.endswith("pip.conf") for match in _INDEX.findall(text)]
    named = {Path(_top(found)) for text in texts for found in _LOCAL.findall(text)}
    return tuple(sorted(path for path in named if path.is_dir() and not path.is_symlink()))


def _top(index: str) -> str:
    """Return what is to be seen of an index: `…/simple` links to files beside it, so what is above it."""
    path = index.rstrip("/")
    return path.removesuffix("/simple") if path.endswith("/simple") else path
