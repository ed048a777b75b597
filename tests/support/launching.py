"""A launcher of a test's own, and runs in it: real namespaces, real cgroups, a real disk."""

import itertools
import os
import select
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from controller.cgroup import choose
from controller.cgroup.lifecycle import CgroupBusy, Lifecycle
from controller.cgroup.limits import Limits
from controller.launcher import control, records
from controller.launcher.client import LauncherClient, Started
from controller.launcher.log_writer import in_order
from controller.launcher.records import Exited, ExitRecord, Observed
from controller.launcher.runspec import RunSpec
from controller.sandbox.legacy import legacy_binds
from controller.sandbox.spec import SandboxSpec

MIB = 1 << 20
WAIT_SECONDS = 60


def host_sandbox(**changes: object) -> SandboxSpec:
    """A sandbox with the host's programs, read-only."""
    binds, symlinks = legacy_binds(_links_of("/"), _links_of("/etc"))
    fields = {
        "hostname": "sandbox",
        "binds": binds,
        "symlinks": symlinks,
        "work_bytes": 64 * MIB,
        "tmp_bytes": 64 * MIB,
    }
    return SandboxSpec(**{**fields, **changes})


def _links_of(directory: str) -> dict[str, str | None]:
    with os.scandir(directory) as entries:
        return {entry.name: os.readlink(entry.path) if entry.is_symlink() else None for entry in entries}


class Launching:
    """A launcher below one directory. Its cgroups are below a parent of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cgroup_parent = f"runwright-test-{os.getpid()}-{root.name}"
        self.log_path = root / "launcher.log"
        (root / "launcher").mkdir()
        self.client = LauncherClient(root / "launcher.sock", root / "launcher", self.log_path)
        self._numbers = itertools.count(1)

    def start_launcher(self) -> None:
        self.client.ensure_running()

    def spec(
        self, *argv: str, env: Mapping[str, str] | None = None, limits: Limits | None = None, **fields: object
    ) -> RunSpec:
        """A run that is ready to start, its directories made."""
        run_id = f"run-{next(self._numbers)}"
        run_dir, log_dir = self.root / "runs" / run_id, self.root / "logs" / run_id
        run_dir.mkdir(parents=True)
        log_dir.mkdir(parents=True)
        return RunSpec(
            run_id=run_id,
            run_dir=str(run_dir),
            log_dir=str(log_dir),
            argv=argv,
            env={"PATH": "/usr/bin:/bin"} if env is None else env,
            limits=limits or Limits(256 * MIB, None, 200),
            cgroup_parent=self.cgroup_parent,
            cgroup=run_id,
            **{"sandbox": host_sandbox(), "grace_seconds": 5.0, **fields},
        )

    sandbox = staticmethod(host_sandbox)

    def run(self, *argv: str, stderr: bool = False, **fields: object) -> tuple[ExitRecord, str]:
        """Run to the end; return the record and standard output as it was, after it standard error if asked for."""
        spec = self.spec(*argv, **fields)
        self.client.start(spec)
        record = self.record_of(spec)
        return record, (self.errors_of(record) if stderr else "") + self.output_of(spec)

    def shell(self, script: str, **fields: object) -> tuple[ExitRecord, str]:
        return self.run("sh", "-c", script, **fields)

    def observe(self, spec: RunSpec) -> Observed:
        return records.observe(Path(spec.run_dir))

    def record_of(self, spec: RunSpec) -> ExitRecord:
        """Wait for the run's end and return its record."""
        observed = wait_for_end(Path(spec.run_dir))
        if not isinstance(observed, Exited):
            raise AssertionError(f"{spec.run_id} is {observed}; the launcher's log: {self.log_path.read_text()}")
        return observed.record

    def errors_of(self, record: ExitRecord) -> str:
        return output_in(self.root / "logs" / record.run_id, "stderr")

    def stop(self, spec: RunSpec) -> None:
        control.stop(Path(spec.run_dir), "Stopped", 0)

    def wait_for_output(self, spec: RunSpec, text: str) -> None:
        self.until(lambda: text in self.output_of(spec))

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what nothing else tells of."""
        for _ in range(WAIT_SECONDS * 200):
            if condition():
                return
            select.poll().poll(5)
        raise AssertionError(f"it has not come after {WAIT_SECONDS} s")

    def output_of(self, spec: RunSpec, stream: str = "stdout") -> str:
        return output_in(Path(spec.log_dir), stream)

    def close(self) -> None:
        """End every run and the launcher, and remove the cgroups."""
        # By order, not by cgroup: a run just claimed may have nothing in its cgroup to kill so far.
        for run_dir in (self.root / "runs").glob("*"):
            if run_dir.is_dir():
                control.stop(run_dir, "Stopped", 0)
                wait_for_end(run_dir)
        self.client.ensure_running()
        self.client.shutdown()
        self.client.close()
        lifecycle = self.lifecycle()
        for name in lifecycle.names():
            lifecycle.kill(name)
            lifecycle.remove(name)
        self.until(lambda: _is_removed(lifecycle))  # As below, or its blank cgroup.
        lifecycle.close()
        self.until(self._removed)  # A supervisor that was just being made ready may leave its FIFO a moment later.

    def lifecycle(self) -> Lifecycle:
        """Return what makes and freezes the cgroups of runs; the caller closes it."""
        return choose.open_lifecycle(choose.hierarchies_of_host(), self.cgroup_parent)

    def _removed(self) -> bool:
        shutil.rmtree(self.root, ignore_errors=True)
        return not self.root.exists()


def _is_removed(parent: Lifecycle) -> bool:
    try:
        parent.remove_parent()
    except CgroupBusy:
        return False
    return True


def wait_for_end(run_dir: Path) -> Observed:
    """Wait for the run's end and return what is seen then. Returns at once if nobody has claimed the run."""
    while isinstance(observed := records.observe(run_dir), records.Running):
        try:
            fd = observed.open_end()
        except ProcessLookupError:
            continue
        if not readable(fd, WAIT_SECONDS):
            raise AssertionError(f"{run_dir.name} has not ended after {WAIT_SECONDS} s")
        os.close(fd)
    return observed


def wait_for_process(started: Started) -> None:
    """Wait for a supervisor to end."""
    try:
        fd = os.pidfd_open(started.pid)
    except ProcessLookupError:
        return
    readable(fd, WAIT_SECONDS)
    os.close(fd)


def readable(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def output_in(log_dir: Path, stream: str = "stdout") -> str:
    """Return a stream as the job wrote it, put together again from its log files."""
    text = []
    for name in in_order(os.listdir(log_dir)):
        for line in (log_dir / name).read_text(errors="surrogateescape").split("\n")[:-1]:
            _, of_stream, tag, content = line.split(" ", 3)
            if of_stream == stream:
                text.append(content + ("\n" if tag == "F" else ""))
    return "".join(text)
