"""The typed client: what may be asked of runwrightd, one method a verb.

Objects are documents (`api.meta.Document`) as the API sent them. Transport is in `client_transport`,
watches and waiting in `client_watch`, files of jobs in `client_files`. Never here: rendering, and anything of the host.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from api import client_lists
from api.client_files import FileVerbs
from api.client_paths import check_command, check_text, path_of_all, path_of_one, path_of_pod, path_of_usages
from api.client_transport import Address, Answer, Transport
from api.copying.wire import MEDIA_TYPE
from api.errors import Conflict, NotFound
from api.kinds import REGISTRY, RUNTIME, Kind
from api.meta import Document

if TYPE_CHECKING:
    from api.client_stream import Stream

USER_AGENT = "rnx"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MOST_RETRIES = 10


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind: by labels, by fields; empty is all."""

    labels: str = ""
    fields: str = ""

    def params(self) -> dict[str, str]:
        """Return the query parameters that say so."""
        params = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {name: text for name, text in params.items() if text}


class Applied(NamedTuple):
    """What an apply did: the object now, whether it is new, whether it changed, and the warnings."""

    document: Document
    created: bool
    changed: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogRequest:
    """Which part of a run's log; `stream` is stdout, stderr or empty for both. A `whole` one lacks nothing or fails.

    One as `cri` says of each piece when it was, of which stream, and whether its line goes on.
    """

    follow: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    timestamps: bool = False
    stream: str = ""
    whole: bool = False
    cri: bool = False

    def params(self) -> dict[str, str]:
        """Return the query parameters that say so."""
        params = {
            "follow": "true" if self.follow else "",
            "tailLines": "" if self.tail_lines is None else str(self.tail_lines),
            "sinceSeconds": "" if self.since_seconds is None else str(self.since_seconds),
            "timestamps": "true" if self.timestamps else "",
            "stream": self.stream.capitalize(),
            "whole": "true" if self.whole else "",
            "cri": "true" if self.cri else "",
        }
        return {name: text for name, text in params.items() if text}


class Client(FileVerbs):
    """Speaks to one runwrightd; safe to use from several threads. Close it, or use it in `with`.

    Whatever is done with one object raises `client_paths.BadName`, before anything is sent, if it is not named.
    """

    def __init__(self, address: Address, *, field_manager: str = "rnx") -> None:
        """Prepare to talk to `address`; `field_manager` signs what this client writes."""
        self.transport = Transport(address, USER_AGENT)
        self.field_manager = field_manager
        self.closed = threading.Event()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End all connections, and the pauses of watches that try again."""
        self.closed.set()
        self.transport.close()

    def list(self, kind: Kind, namespace: str | None = None, selection: Selection | None = None) -> Document:
        """Return the list document; `namespace` None is all of them. Long lists are fetched in pages."""
        return client_lists.whole(self.transport, path_of_all(kind, namespace), (selection or Selection()).params())

    def get(self, kind: Kind, namespace: str, name: str) -> Document:
        """Return one object. Raises NotFound."""
        return self.transport.send("GET", path_of_one(kind, namespace, name)).document

    def table(
        self,
        kind: Kind,
        namespace: str | None,
        name: str | None = None,
        selection: Selection | None = None,
        *,
        whole: bool = False,
    ) -> Document:
        """Return objects, or the one of that name, as a Table; `whole` asks for the objects with the rows."""
        path = path_of_all(kind, namespace) if name is None else path_of_one(kind, namespace, name)
        params = (selection or Selection()).params() | ({"includeObject": "Object"} if whole else {})
        return self.transport.send("GET", path, params=params, accept=TABLE).document

    def create(self, kind: Kind, namespace: str, document: Document, *, dry_run: bool = False) -> Answer:
        """Create an object. Raises AlreadyExists, Invalid."""
        return self.transport.send(
            "POST", path_of_all(kind, namespace), params=self._write(dry_run=dry_run), body=document
        )

    def apply(
        self, kind: Kind, namespace: str, document: Document, *, force: bool = False, dry_run: bool = False
    ) -> Applied:
        """Apply `document` server-side: the fields it names become this manager's, the rest stays.

        Raises:
            Conflict: other managers own fields of it with other values; `force` takes them over.
            Invalid: it breaks the rules of its kind.
        """
        name = document["metadata"]["name"]
        before = self._find(kind, namespace, name)
        params = self._write(dry_run=dry_run) | ({"force": "true"} if force else {})
        answer = self.transport.send(
            "PATCH",
            path_of_one(kind, namespace, name),
            params=params,
            body=document,
            content_type="application/apply-patch+yaml",
        )
        created = answer.code == 201 or before is None
        changed = created or before is None or _content(before) != _content(answer.document)
        return Applied(answer.document, created, changed, answer.warnings)

    def merge_patch(self, kind: Kind, namespace: str, name: str, patch: Document, *, dry_run: bool = False) -> Document:
        """Change the fields that `patch` names; null removes one (RFC 7396). Raises NotFound, Conflict, Invalid."""
        return self.patch(kind, namespace, name, patch, "application/merge-patch+json", dry_run=dry_run).document

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Any,
        content_type: str,
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Answer:
        """Change an object, or its status, by a patch of any type. Raises NotFound, Conflict, Invalid, BadRequest."""
        path = path_of_one(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        params = self._write(dry_run=dry_run)
        return self.transport.send("PATCH", path, params=params, body=patch, content_type=content_type)

    def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace_seconds: int | None = None,
        dry_run: bool = False,
    ) -> Document:
        """Ask for its deletion; return what the server said.

        Raises:
            NotFound: there is none.
            Conflict: its `uid` is another, or it was changed since `resource_version`.
        """
        body: Document = {"kind": "DeleteOptions", "apiVersion": "v1"}
        wanted = {name: text for name, text in (("uid", uid), ("resourceVersion", resource_version)) if text}
        body |= {"preconditions": wanted} if wanted else {}
        body |= {} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        params = {"dryRun": "All"} if dry_run else {}
        return self.transport.send("DELETE", path_of_one(kind, namespace, name), params=params, body=body).document

    def change(self, kind: Kind, namespace: str, name: str, patch_for: Any) -> Document:
        """Merge-patch what `patch_for(current)` returns, again when someone else wrote meanwhile.

        `patch_for` returns None when there is nothing to change. Raises NotFound, Invalid, Conflict.
        """
        for attempt in range(MOST_RETRIES):
            current = self.get(kind, namespace, name)
            patch = patch_for(current)
            if patch is None:
                return current
            lock = {
                "metadata": {**patch.get("metadata", {}), "resourceVersion": current["metadata"]["resourceVersion"]}
            }
            try:
                return self.merge_patch(kind, namespace, name, {**patch, **lock})
            except Conflict:
                if attempt == MOST_RETRIES - 1:
                    raise
        raise AssertionError("unreachable: the loop returns or raises")

    @contextmanager
    def logs(self, namespace: str, pod: str, request: LogRequest) -> Iterator[Iterator[bytes]]:
        """Give the log of a run, by its pod's name, as bytes. Raises NotFound, BadRequest, Unreachable."""
        path = f"{path_of_pod(namespace, pod)}/log"
        with self.transport.stream(
            path, params=request.params(), accept="text/plain, */*", silence_seconds=None
        ) as chunks:
            yield chunks

    def execute(
        self, namespace: str, pod: str, command: Sequence[str], *, takes_input: bool = False, terminal: bool = False
    ) -> "Stream":
        """Execute a command in a run; the caller closes the stream, which ends it.

        Raises:
            BadName: the command is no text, or too long; nothing was sent.
            BadRequest: the run is not running.
            Unreachable: nobody answered.
        """
        check_command(command)
        params = [("command", word) for word in command]
        params += [(name, "true") for name in ("stdout", "stderr") if name == "stdout" or not terminal]
        params += [("stdin", "true")] if takes_input else []
        params += [("tty", "true")] if terminal else []
        from api.client_stream import Stream

        return Stream.open(self.transport.address, f"{path_of_pod(namespace, pod)}/exec", params)

    def attach(self, namespace: str, pod: str, *, takes_input: bool = False, shows: bool = True) -> "Stream":
        """Give what a run prints from now on, and take what it is to read; the caller closes the stream.

        If it `shows` nothing, it is over when the input has ended and the run's has. Raises as `execute`.
        """
        params = [("stdout", "true"), ("stderr", "true")] if shows else []
        params += [("stdin", "true")] if takes_input else []
        from api.client_stream import Stream

        return Stream.open(self.transport.address, f"{path_of_pod(namespace, pod)}/attach", params)

    @contextmanager
    def copy_out(self, namespace: str, pod: str, path: str) -> Iterator[Iterator[bytes]]:
        """Give what is at `path` in a run as a tar stream, see `api.copying`. Raises NotFound; else as `execute`."""
        check_text("the path", path)
        at = f"{path_of_pod(namespace, pod)}/files"
        with self.transport.stream(at, params={"path": path}, accept="*/*", silence_seconds=None) as chunks:
            yield chunks

    def copy_in(self, namespace: str, pod: str, path: str, content: Iterable[bytes]) -> None:
        """Unpack a tar stream at `path` in a run. Raises BadRequest, which says what could not be, and Unreachable."""
        check_text("the path", path)
        self.transport.upload(f"{path_of_pod(namespace, pod)}/files", {"path": path}, content, MEDIA_TYPE)

    def usages(self, namespace: str | None) -> Document:
        """Return what runs use: a PodMetricsList, with more in `runwright` of each item; None is all namespaces."""
        return self.transport.send("GET", path_of_usages(namespace)).document

    def node_usage(self) -> Document:
        """Return what the host uses: its NodeMetrics, with more in `runwright`."""
        listing = self.transport.send("GET", "/apis/metrics.k8s.io/v1beta1/nodes").document
        return dict(listing["items"][0])

    @contextmanager
    def build_logs(self, runtime: str, version: str = "", *, follow: bool = False) -> Iterator[Iterator[bytes]]:
        """Give the log of a runtime's build, of the last one if no version is named. Raises NotFound, Unreachable."""
        params = ({"version": version} if version else {}) | ({"follow": "true"} if follow else {})
        path = f"{path_of_one(RUNTIME, None, runtime)}/log"
        with self.transport.stream(path, params=params, accept="text/plain, */*", silence_seconds=None) as chunks:
            yield chunks

    def catalogue(self, registry: str, *, refresh: bool = False) -> Document:
        """Return what a registry offers: {fetchedAt, problem, runtimes}. Raises NotFound, ServiceUnavailable."""
        params = {"refresh": "true"} if refresh else {}
        return self.transport.send("GET", f"{path_of_one(REGISTRY, None, registry)}/catalogue", params=params).document

    def explain(self, kind: Kind, namespace: str, name: str) -> Document:
        """Return why an object is where it is: {object, summary, reasons, plan, sandbox}. Raises NotFound."""
        return self.transport.send("GET", f"{path_of_one(kind, namespace, name)}/explain").document

    def authority(self) -> Document:
        """Return the CA's {certificate, server}: what the server is known by, and its URL if it has one."""
        return self.transport.send("GET", "/ca").document

    def rotate_secrets_key(self) -> int:
        """Have all Secrets put under a new key; return how many stored texts that were."""
        return int(self.transport.send("POST", "/secrets-key/rotate").document["texts"])

    def version(self) -> Document:
        """Return the server's version document."""
        return self.transport.send("GET", "/version").document

    def _find(self, kind: Kind, namespace: str, name: str) -> Document | None:
        try:
            return self.get(kind, namespace, name)
        except NotFound:
            return None

    def _write(self, *, dry_run: bool) -> dict[str, str]:
        params = {"fieldManager": self.field_manager, "fieldValidation": "Strict"}
        return params | ({"dryRun": "All"} if dry_run else {})


def _content(document: Document) -> Document:
    """Return what counts as a change: all but what every write, dry or not, may touch."""
    volatile = ("resourceVersion", "managedFields", "generation", "uid", "creationTimestamp")
    metadata = {name: value for name, value in document.get("metadata", {}).items() if name not in volatile}
    return {
        **{name: value for name, value in document.items() if name not in ("metadata", "status")},
        "metadata": metadata,
    }
