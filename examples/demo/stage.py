"""What the demo plays on: a root of its own, a registry over HTTP, the daemon, and the host before and after."""

import functools
import http.server
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from controller.daemon.paths import Paths
from controller.daemon.settings import Settings

_QUICKSTART = Path(__file__).resolve().parents[1] / "quickstart"
_QUICKSTART_PORT = "8473"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


class RegistryServer:
    """Serves a directory over HTTP on a free port of the loopback."""

    def __init__(self, directory: Path) -> None:
        """Serve `directory`."""
        handler = functools.partial(_Quiet, directory=str(directory))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True, slots=True)
class HostState:
    """What could be left behind on a host: each thing, and the slice of the daemon that it is surely of, if any."""

    things: Mapping[str, str]

    @classmethod
    def now(cls) -> "HostState":
        """Look at the host; processes are those that have anything to do with runwright."""
        return cls({**_mounts(), **_cgroups(), **_of_processes()})

    def left_since(self, before: "HostState", own_slice: str) -> list[str]:
        """Return what is there now and was not before, and is of no other daemon."""
        fresh = {thing: whose for thing, whose in self.things.items() if thing not in before.things}
        return sorted(thing for thing, whose in fresh.items() if whose in ("", own_slice))


def _mounts() -> dict[str, str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {f"mount {line.split(' - ')[0].split(' ', 3)[3]}": "" for line in lines}


def _cgroups() -> dict[str, str]:
    found = {}
    for directory, below, _ in os.walk("/sys/fs/cgroup"):
        paths = (os.path.join(directory, name) for name in below)
        found |= {f"cgroup {path}": _slice_in(path) for path in paths if "runwright" in path}
    return found


def _of_processes() -> dict[str, str]:
    """Return processes and network namespaces; one that processes of several daemons are in is nobody's alone."""
    processes: dict[str, str] = {}
    namespaces: dict[str, str] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            namespace = f"network namespace {os.readlink(f'/proc/{pid}/ns/net')}"
            whose = _slice_in(Path(f"/proc/{pid}/cgroup").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # It has ended.
        namespaces[namespace] = whose if namespaces.get(namespace, whose) == whose else ""
        if "runwright" in command or "controller." in command:
            processes[f"process {pid} {command[:60]}"] = whose
    return processes | namespaces


def _slice_in(text: str) -> str:
    found = re.search(r"/(runwright[^/\n]*)", text)
    return found[1] if found else ""


class _Process(Protocol):
    """What is asked of the daemon's process: a Popen, or what a test has in its place."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...

    def terminate(self) -> None: ...


class Stage:
    """A temporary root with a daemon in it, taken down whatever happens."""

    def __init__(self) -> None:
        """Make the root; nothing runs yet."""
        self.root = Path(tempfile.mkdtemp(prefix="runwright-demo."))
        self.manifests = self.root / "etc/runwright/manifests"
        self.manifests.mkdir(parents=True)
        self.registry: RegistryServer | None = None
        self._daemon: _Process | None = None

    def __enter__(self) -> Self:
        """Give the stage."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the daemon, end what runs, remove the root; keep its log if something went wrong."""
        self.stop_daemon()
        self._clean()
        if self.registry is not None:
            self.registry.close()
        if error is not None:
            shutil.copy(self.log, Path(tempfile.gettempdir()) / "runwright-demo.log")
            print(f"the daemon's log is kept in {tempfile.gettempdir()}/runwright-demo.log", file=sys.stderr)  # noqa: T201
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def slice(self) -> str:
        """The cgroup of all that the daemon runs."""
        return Paths.of(self.root, Settings()).cgroup_slice(Settings())

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.root / "daemon.log"

    @property
    def socket(self) -> Path:
        """The API's socket."""
        return self.root / "run/runwright/api.sock"

    def _arguments(self) -> list[str]:
        return ["--root", str(self.root), "--set", "runtime.default_registry="]

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "controller", *self._arguments()]

    def _clean(self) -> None:
        subprocess.run([*self._command(), "--clean"], check=False, stdout=subprocess.DEVNULL)  # noqa: TID251

    def start_daemon(self) -> int:
        """Start the daemon; return its pid."""
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(self._command(), stdout=log, stderr=log)
        return self._daemon.pid

    def kill_daemon(self) -> None:
        """Kill the daemon as a crash would."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGKILL)
        self._daemon.wait()

    def stop_daemon(self) -> None:
        """Ask the daemon to end, and wait for it."""
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.terminate()
            self._daemon.wait(30)

    def daemon_ended(self) -> int | None:
        """Return the daemon's exit code if it ended."""
        return None if self._daemon is None else self._daemon.poll()

    def drop(self, name: str, replace: dict[str, str] | None = None) -> None:
        """Put a quickstart manifest into the watched directory, whole at once."""
        text = (_QUICKSTART / name).read_text()
        if self.registry is not None:
            text = text.replace(_QUICKSTART_PORT, str(self.registry.port))
        for old, new in (replace or {}).items():
            text = text.replace(old, new)
        self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """Write a manifest aside and rename it into place, as careful tools do."""
        aside = self.manifests / f".{name}.new"
        aside.write_text(text)
        aside.rename(self.manifests / name)

    def remove(self, name: str) -> None:
        """Remove a manifest."""
        (self.manifests / name).unlink()

    @staticmethod
    def quickstart() -> list[str]:
        """Return the names of all quickstart manifests."""
        return sorted(path.name for path in _QUICKSTART.glob("*.yaml"))
