"""Going into a job's run from outside: a command, a copy of files or a connection, as a process of the run.

Here: which run, whether it can be gone into, with what environment; errors in the API's words. How one gets inside, and
what one may do there, is the launcher's (`controller.launcher.joining`).
"""

import os
import socket
from dataclasses import replace
from pathlib import Path

from api.errors import BadRequest, ServiceUnavailable
from api.input_ports import RunInput
from api.meta import Document
from api.ports import CannotConnect, CannotExecute, Execution, RunSession
from api.types.job import Job
from api.types.pod import pod_name, pod_name_in
from controller.job import history, references
from controller.job.environment import environment
from controller.job.observe import Observer
from controller.job.observed import RuntimeMissing, RuntimeReady, Runtimes
from controller.job.run_dirs import RunDirs, run_id
from controller.launcher import control, records
from controller.launcher.client import LauncherClient, LauncherError
from controller.launcher.join_request import Deed, JoinRequest
from controller.launcher.joined import JoinRefused, Session
from controller.launcher.records import Running

_TERMINAL = {"TERM": "xterm"}


class Entering:
    """Goes into the runs of this host; what `api.ports.RunAccess` asks for. Thread-safe."""

    def __init__(
        self,
        dirs: RunDirs,
        launcher: LauncherClient,
        runtimes: Runtimes,
        cgroup_parent: str,
        look: references.Look,
    ) -> None:
        """Use these parts; none of them is owned. `look` reads what jobs refer to."""
        self._dirs = dirs
        self._launcher = launcher
        self._runtimes = runtimes
        self._cgroup_parent = cgroup_parent
        self._look = look

    def execute(self, job: Document, attempt: int, execution: Execution) -> RunSession:
        """Execute a command in a run, with the environment and the working directory of its job.

        Of Secrets and ConfigMaps it has the values of now: those that the run began with are nowhere but in the run.

        Raises:
            BadRequest: the run is not running.
            CannotExecute: the command is not there, or cannot be executed.
            ServiceUnavailable: it does not work now.
        """
        parsed = Job.model_validate(job)
        request = self._request(parsed, attempt)
        env = self._environment(parsed, attempt)
        if execution.terminal is not None and env.get("TERM") == "dumb":
            env |= _TERMINAL
        return self._join(
            replace(
                request,
                argv=execution.command,
                env=env,
                cwd=parsed.spec.working_dir,
                streams=execution.streams if execution.terminal is None else (),
                terminal=execution.terminal,
            )
        )

    def copy_out(self, job: Document, attempt: int, path: str) -> RunSession:
        """Pack what is at `path` in the run. Raises as `execute`."""
        return self._copy(job, attempt, Deed.PACK, path, ("stdout", "stderr"))

    def copy_in(self, job: Document, attempt: int, path: str) -> RunSession:
        """Unpack at `path` in the run. Raises as `execute`."""
        return self._copy(job, attempt, Deed.UNPACK, path, ("stdin", "stderr"))

    def connect(self, job: Document, attempt: int, port: int) -> socket.socket:
        """Connect to a port of the run's loopback, from inside; what comes of it never blocks.

        Raises:
            BadRequest: the run is not running.
            CannotConnect: nobody took the connection.
            ServiceUnavailable: it does not work now.
        """
        request = self._request(Job.model_validate(job), attempt)
        try:
            session = self._joined(replace(request, deed=Deed.CONNECT, argv=(str(port),)))
        except CannotExecute as error:
            raise CannotConnect(str(error)) from error
        with session:
            try:
                connection = session.take_connection()
            except JoinRefused as error:
                raise ServiceUnavailable(f"cannot connect to port {port} of the run: {error}") from error
        connection.settimeout(0)
        return connection

    def open_stdin(self, job: Document, attempt: int) -> RunInput:
        """Return what writes to the standard input of the run's job.

        Raises:
            BadRequest: the run is not running, or has no standard input, or that has ended.
            ServiceUnavailable: it does not work now.
        """
        parsed = Job.model_validate(job)
        request = self._request(parsed, attempt)
        try:
            session = self._joined(replace(request, deed=Deed.STDIN, argv=("stdin",)))
        except CannotExecute as error:
            name = pod_name_in(job, attempt)
            raise BadRequest(f"cannot write to the standard input of pod {name}: {error}: use exec -i") from error
        with session:
            try:
                fd = session.take_input()
            except JoinRefused as error:
                raise ServiceUnavailable(f"cannot write to the run's standard input: {error}") from error
        return _Input(fd, self._dirs.path(parsed.meta.uid, attempt))

    def _copy(self, job: Document, attempt: int, deed: str, path: str, streams: tuple[str, ...]) -> RunSession:
        parsed = Job.model_validate(job)
        request = self._request(parsed, attempt)
        return self._join(
            replace(request, deed=deed, argv=(path or ".",), cwd=parsed.spec.working_dir, streams=streams)
        )

    def _request(self, job: Job, attempt: int) -> JoinRequest:
        """Return what names the run, with a command to be replaced."""
        uid, name = job.meta.uid, pod_name(job.meta.name, attempt, history.index_of(job, attempt))
        found = records.observe(self._dirs.path(uid, attempt))
        if not isinstance(found, Running):
            raise BadRequest(f"cannot go into pod {name}: it is not running")
        if found.is_held:
            raise BadRequest(f"cannot go into pod {name}: it is not running: it begins at {found.not_before}")
        if self._dirs.may_be_frozen(uid, attempt):
            raise BadRequest(f"cannot go into pod {name}: its job is suspended: set spec.suspend to false first")
        cgroup = run_id(uid, attempt)
        return JoinRequest(found.pid, found.start_time, self._cgroup_parent, cgroup, Deed.EXECUTE, ("true",))

    def _environment(self, job: Job, attempt: int) -> dict[str, str]:
        runtime = RuntimeReady()
        if job.spec.runtime is not None:
            found = self._runtimes.find(Observer.pinned_runtime(job) or job.spec.runtime, may_install=False)
            if isinstance(found, RuntimeMissing):
                raise ServiceUnavailable(f"cannot tell the environment of {job.key}: {found.message}")
            runtime = found
        return environment(self._resolved(job), attempt, runtime.environment, runtime.cache)

    def _resolved(self, job: Job) -> Job:
        """Return the job with values in place of its references, as they are now; without any if one is gone."""
        try:
            return references.resolve(job, self._look)
        except references.Unresolved:
            return job

    def _join(self, request: JoinRequest) -> RunSession:
        return _Reported(self._joined(request))

    def _joined(self, request: JoinRequest) -> Session:
        try:
            return self._ask(request)
        except JoinRefused as error:
            refused = error.answer
            if refused.exit_code is not None:
                raise CannotExecute(refused.message, refused.exit_code) from error
            if refused.run_is_over:
                raise BadRequest(f"cannot go into the run: {refused.message}") from error
            raise ServiceUnavailable(f"cannot go into the run: {refused.message}") from error
        except ValueError as error:
            raise BadRequest(str(error)) from error
        except LauncherError as error:
            raise ServiceUnavailable(str(error)) from error

    def _ask(self, request: JoinRequest) -> Session:
        try:
            return self._launcher.join(request)
        except LauncherError:
            self._launcher.ensure_running()
            return self._launcher.join(request)


class _Input:
    """What writes to the standard input of a run that has its records in `run_dir`."""

    def __init__(self, fd: int, run_dir: Path) -> None:
        self._fd = fd
        self._run_dir = run_dir

    def fileno(self) -> int:
        return self._fd

    def end(self) -> None:
        self.close()
        try:
            control.end_stdin(self._run_dir)  # False if the run has ended, and its input with it.
        except OSError as error:
            why = f"cannot end the standard input of the run in {self._run_dir}: {error}: attach again and leave"
            raise ServiceUnavailable(why) from error

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class _Reported:
    """A session, its loss in the API's words."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def stdin(self) -> int | None:
        return self._session.stdin

    @property
    def stdout(self) -> int | None:
        return self._session.stdout

    @property
    def stderr(self) -> int | None:
        return self._session.stderr

    def fileno(self) -> int:
        return self._session.fileno()

    def end(self) -> int | None:
        try:
            return self._session.end()
        except JoinRefused as error:
            raise ServiceUnavailable(str(error)) from error

    def close_stdin(self) -> None:
        self._session.close_stdin()

    def resize(self, columns: int, rows: int) -> None:
        self._session.resize(columns, rows)

    def signal(self, name: str) -> None:
        self._session.signal(name)

    def close(self) -> None:
        self._session.close()
