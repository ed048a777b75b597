"""The real API over a real store, served on a unix socket; parts of the layers above stand at their ports."""

import contextlib
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from api.errors import About, BadRequest, NotFound
from api.http.app import Surroundings, build_app
from api.http.server import ApiServer
from api.input_ports import RunInput
from api.meta import Document, ObjectKey
from api.objects.verbs import Verbs
from api.ports import CannotConnect, Execution, HostUsage, LogOptions, RunSession, RunUsage
from controller.daemon.served_artifacts import ServedArtifacts
from controller.daemon.served_runtimes import ServedBuildLogs
from state.store import Store
from support.contents import open_artifacts, open_uploads
from support.hand_clock import HandClock
from support.objects import open_verbs


@dataclass
class Above:
    """What the daemon plugs in above the API, reduced to what a test sets."""

    problems: dict[str, str] = field(default_factory=dict)
    manifests: list[Document] = field(default_factory=list)
    log: Callable[[Document, int, LogOptions, Callable[[], bool]], Iterator[bytes]] | None = None
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    used: list[RunUsage] = field(default_factory=list)
    listeners: dict[int, Callable[[socket.socket], None]] = field(default_factory=dict)
    session: Callable[[], RunSession] | None = None
    stdin: Callable[[], RunInput] | None = None
    refusal: Exception = field(default_factory=lambda: BadRequest("cannot go into the run: it is a test's"))

    def checks(self) -> dict[str, str]:
        return {"store": ""} | self.problems

    def render(self) -> bytes:
        return b"# HELP runwright_up Up.\n# TYPE runwright_up gauge\nrunwright_up 1\n"

    def reports(self) -> list[Document]:
        return self.manifests

    def explain(self, key: ObjectKey) -> dict[str, Any]:
        return {"object": str(key), "summary": "waits", "reasons": [], "plan": [], "sandbox": []}

    def read(self, job: Document, attempt: int, options: LogOptions, stopped: Callable[[], bool]) -> Iterator[bytes]:
        if self.log is None:
            raise NotFound.of(About("", "pods", "none"))
        return self.log(job, attempt, options, stopped)

    def execute(self, job: Document, attempt: int, execution: Execution) -> RunSession:
        raise self.refusal

    def copy_out(self, job: Document, attempt: int, path: str) -> RunSession:
        if self.session is None:
            raise self.refusal
        return self.session()

    def copy_in(self, job: Document, attempt: int, path: str) -> RunSession:
        return self.copy_out(job, attempt, path)

    def connect(self, job: Document, attempt: int, port: int) -> socket.socket:
        if port not in self.listeners:
            raise CannotConnect(f"cannot connect to port {port} of the run: nobody listens")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.listeners[port](theirs)
        return ours

    def open_stdin(self, job: Document, attempt: int) -> RunInput:
        if self.stdin is None:
            raise self.refusal
        return self.stdin()

    def usages(self, namespace: str | None) -> list[RunUsage]:
        return [usage for usage in self.used if namespace in (None, usage.namespace)]

    def offered(self, registry: Document, *, refresh: bool) -> Document:
        return {"fetchedAt": "2026-01-01T00:00:00Z", "problem": "", "runtimes": {}, "refreshed": refresh}

    def usage(self) -> HostUsage:
        return HostUsage(100.0, 50.0, 3 << 20, 8 << 20, 1 << 30, 4 << 30, 77, 1, 2, 3, 4)

    def node(self) -> Document:
        return {
            "metadata": {"name": "testhost"},
            "spec": {},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }

    def on_request(self, verb: str, resource: str, code: int, seconds: float) -> None:
        assert seconds >= 0
        self.requests.append((verb, resource, code))


@dataclass
class Api:
    """A running API and a client of it."""

    client: httpx.Client
    verbs: Verbs
    store: Store
    clock: HandClock
    above: Above
    socket: Path
    server: ApiServer
    store_directory: Path
    space: str = "default"

    def jobs(self, name: str = "", subresource: str = "", namespace: str = "") -> str:
        """Return the path of the jobs of the test's namespace, or of one of them."""
        parts = ("/apis/runwright.dev/v1alpha1/namespaces", namespace or self.space, "jobs", name, subresource)
        return "/".join(part for part in parts if part)

    def apply(self, path: str, document: Document, manager: str = "tests", **query: str) -> httpx.Response:
        """Apply a document as a field manager."""
        headers = {"content-type": "application/apply-patch+yaml"}
        return self.client.patch(path, json=document, params={"fieldManager": manager, **query}, headers=headers)


def client_of(socket: Path, timeout: float = 30) -> httpx.Client:
    """Return a client that talks to a unix socket; the caller closes it."""
    transport = httpx.HTTPTransport(uds=str(socket))
    return httpx.Client(transport=transport, base_url="http://runwright", timeout=timeout)


@contextlib.contextmanager
def serving(path: Path) -> Iterator[Api]:
    """Serve the API with its store in `path`, on a socket in a short directory of its own."""
    clock, above = HandClock(), Above()
    verbs, store = open_verbs(path, clock)
    with contextlib.closing(store), tempfile.TemporaryDirectory(prefix="rnx-") as short:
        builds = ServedBuildLogs(path / "builds", store)
        around = Surroundings(
            verbs, store, clock, uploads=open_uploads(path / "contents", clock), artifacts=ServedArtifacts(open_artifacts(path / "artifacts")), run_logs=above, run_access=above, run_usages=above, build_logs=builds, catalogues=above, explainer=above, health=above,
            exposition=above, manifests=above, host=above, node_name="host-1", version="0.1.0",
        )  # fmt: skip
        server = ApiServer(build_app(around, above.on_request), Path(short) / "api.sock")
        server.start()
        try:
            with client_of(Path(short) / "api.sock") as client:
                yield Api(client, verbs, store, clock, above, Path(short) / "api.sock", server, path)
        finally:
            server.stop()
