"""The real HTTP API over a real store on a unix socket, and `rnx` pointed at it.

Tests play the controller: they write statuses and logs where it would.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from api.client import Client
from api.client_transport import Address
from api.errors import BadRequest, Conflict, NotFound, ServiceUnavailable
from api.http.app import Surroundings, build_app
from api.http.server import ApiServer
from api.input_ports import RunInput
from api.kinds import JOB, KINDS, NAMESPACE, Kind
from api.meta import Document, ObjectKey
from api.objects.verbs import Verbs, WriteOptions
from api.ports import CannotConnect, Execution, HostUsage, RunSession, RunUsage
from controller.daemon.served_artifacts import ServedArtifacts
from controller.daemon.served_runtimes import ServedBuildLogs
from controller.engine.clock import SystemClock
from controller.job.logs import JobLogs, log_directory
from state.store import Store
from support.contents import open_artifacts, open_uploads


class Host:
    """What the API asks of the layers above it, as far as these tests go: nothing is wrong, little is known."""

    def __init__(self) -> None:
        self.manifests: list[Document] = []
        self.explanations: dict[str, Document] = {}
        self.catalogues: dict[str, Document] = {}
        self.used: list[RunUsage] = []

    def execute(self, job: Document, attempt: int, execution: Execution) -> RunSession:
        raise BadRequest("cannot go into the run: there is no launcher here")

    def copy_out(self, job: Document, attempt: int, path: str) -> RunSession:
        raise BadRequest("cannot copy out of the run: there is no launcher here")

    def copy_in(self, job: Document, attempt: int, path: str) -> RunSession:
        raise BadRequest("cannot copy into the run: there is no launcher here")

    def usages(self, namespace: str | None) -> list[RunUsage]:
        return [usage for usage in self.used if namespace in (None, usage.namespace)]

    def offered(self, registry: Document, *, refresh: bool) -> Document:
        found = self.catalogues.get(registry["metadata"]["name"])
        if found is None:
            raise ServiceUnavailable(f"cannot read the registry{', asked anew' if refresh else ''}: it is down")
        return found

    def checks(self) -> dict[str, str]:
        return {}

    def render(self) -> bytes:
        return b""

    def reports(self) -> Sequence[Document]:
        return self.manifests

    def usage(self) -> HostUsage:
        return HostUsage(100.0, 50.0, 3 << 20, 8 << 20, 1 << 30, 4 << 30, 77, 1, 2, 3, 4)

    def node(self) -> Document:
        return {
            "metadata": {"name": "testhost"},
            "spec": {},
            "status": {"capacity": {"cpu": "2"}, "conditions": [{"type": "Ready", "status": "True"}]},
        }

    def connect(self, job: Document, attempt: int, port: int) -> socket.socket:
        raise CannotConnect(f"cannot connect to port {port} of the run: it is a test's")

    def open_stdin(self, job: Document, attempt: int) -> RunInput:
        raise BadRequest("cannot write to the run's standard input: there is no launcher here")

    def explain(self, key: ObjectKey) -> dict[str, Any]:
        if str(key) not in self.explanations:
            raise NotFound(f"{key} is not explained")
        return self.explanations[str(key)]


class LiveApi:
    """A server that answers at `socket`, its store, and a client of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "run/runwright/api.sock"
        self.clock = SystemClock()
        self.store = Store.open(directory / "store.db", self.clock)
        self.verbs = Verbs(self.store, self.clock)
        self.verbs.bootstrap()
        self.host = Host()
        self.logs = directory / "logs"
        self.client = Client(Address.of_socket(self.socket))
        self.start()

    def start(self) -> None:
        """Serve; also again after `stop`."""
        self._server = ApiServer(build_app(self._surroundings()), self.socket)
        self._server.start()

    def stop(self) -> None:
        """Stop serving; the store stays open."""
        self._server.stop()

    def close(self) -> None:
        self.client.close()
        self.stop()
        self.store.close()

    def clear(self) -> None:
        """Forget all objects but the namespace `default`, and what the host was said to know."""
        self.host.manifests.clear(), self.host.explanations.clear(), self.host.catalogues.clear()
        for kind in KINDS:
            for item in self.store.list(kind.name).items:
                if item["metadata"].get("finalizers"):
                    item = self.store.update(item | {"metadata": item["metadata"] | {"finalizers": []}})
                if kind is not NAMESPACE and "deletionTimestamp" not in item["metadata"]:
                    self.store.delete(ObjectKey.of(item))

    def _surroundings(self) -> Surroundings:
        logs = JobLogs(self.logs, self.clock, self._is_over, lambda _job: 5)
        host = self.host
        return Surroundings(
            verbs=self.verbs, storage=self.store, clock=self.clock, run_logs=logs, run_access=host, run_usages=host, explainer=host, health=host,
            build_logs=ServedBuildLogs(self.directory / "builds", self.store), catalogues=host,
            uploads=open_uploads(self.directory / "contents", self.clock),
            artifacts=ServedArtifacts(open_artifacts(self.directory / "artifacts")),
            exposition=host, manifests=host, host=host, node_name="testhost", version="0.1.0",
        )  # fmt: skip

    def _is_over(self, job: Document, attempt: int) -> bool:
        now = self.store.get(ObjectKey.of(job))
        is_there = now is not None and now["metadata"]["uid"] == job["metadata"]["uid"]
        runs = now.get("status", {}).get("runs", ()) if is_there else ()
        return all(run["state"] == "Ended" for run in runs if run["attempt"] == attempt)

    def create(self, kind: Kind, document: Document, *, held: bool = False) -> Document:
        """Store an object; unless it is `held`, its controller has nothing to clean up."""
        namespace = "default" if kind.namespaced else ""
        created = self.verbs.create(kind, namespace, document, WriteOptions(field_manager="tests")).document
        if created["metadata"].get("finalizers") and not held:
            self.let_go(kind, created["metadata"]["name"])
        return created

    def let_go(self, kind: Kind, name: str) -> None:
        """Say that nothing of an object is left on the host, as its controller would."""
        namespace = "default" if kind.namespaced else ""
        self.client.merge_patch(kind, namespace, name, {"metadata": {"finalizers": None}})

    def get(self, kind: Kind, name: str) -> Document:
        """Return an object as stored."""
        return self.verbs.get(kind, "default" if kind.namespaced else "", name)

    def connections(self) -> set[Any]:
        """Return what the server keeps of connections."""
        return self._server._server.server_state.connections

    def set_status(self, kind: Kind, name: str, **fields: Any) -> Document:
        """Report the status of an object, as its controller would: of the newest, whoever else writes it meanwhile."""
        while True:
            document = self.get(kind, name)
            with suppress(Conflict):
                return self.store.update_status(document | {"status": document.get("status", {}) | fields})

    def write_log(self, name: str, attempt: int, *lines: str) -> None:
        """Add CRI records, such as `stdout hello`, to a run's log; one of `stdout/P` is a part of a line."""
        directory = log_directory(self.logs, self.get(JOB, name)["metadata"]) / str(attempt)
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "0.log").open("a") as log:
            for line in lines:
                stream, _, text = line.partition(" ")
                stream, _, tag = stream.partition("/")
                log.write(f"{self.clock.now():%Y-%m-%dT%H:%M:%S.%f}000Z {stream} {tag or 'F'} {text}\n")


@contextmanager
def a_live_api(directory: Path) -> Iterator[LiveApi]:
    """Serve the API below `directory` for the block."""
    live = LiveApi(directory)
    try:
        yield live
    finally:
        live.close()


def run_status(state: str, attempt: int = 1, *, exit_code: int | None = None, reason: str = "") -> Document:
    """Return one run as a Job's status has it."""
    run: Document = {"attempt": attempt, "state": state, "reason": reason, "startedAt": "2026-01-01T00:00:00Z"}
    return run | ({"finishedAt": "2026-01-01T00:00:05Z", "exitCode": exit_code} if exit_code is not None else {})


def condition_of(type_: str, reason: str = "", message: str = "", status: str = "True") -> Document:
    """Return a condition as a status has it."""
    return {"type": type_, "status": status, "reason": reason, "message": message}
