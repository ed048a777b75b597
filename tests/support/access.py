"""The API over TLS with users of several kinds, for tests of access."""

import contextlib
import hashlib
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from api.access import certificates, presets
from api.access.policy import Policy, policy_of
from api.access.rules import Rule
from api.http.app import Surroundings, build_app
from api.http.authorization import Access
from api.http.server import ApiServer, Tls
from api.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, NAMESPACE, TOKEN, Kind
from api.meta import Document, wire_time
from api.objects.verbs import Verbs, WriteOptions
from controller.daemon.audit_file import AuditFile
from controller.daemon.authority import HostAuthority
from controller.daemon.served_artifacts import ServedArtifacts
from controller.daemon.served_runtimes import ServedBuildLogs
from controller.engine.clock import SystemClock
from state.store import Store
from support.contents import open_artifacts, open_uploads
from support.http import Above, client_of

CERTIFICATES = "/apis/access.runwright.dev/v1alpha1/certificates"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
JOBS = "/apis/runwright.dev/v1alpha1/namespaces/{}/jobs"


def a_role(name: str, *rules: Rule, namespace: str = "") -> Document:
    """A Role, or without a namespace a ClusterRole."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    kind = "Role" if namespace else "ClusterRole"
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata,
        "rules": [rule.to_document() for rule in rules],
    }  # fmt: skip


def a_binding(name: str, role: str, *subjects: str, namespace: str = "", role_kind: str = "ClusterRole") -> Document:
    """A binding of subjects such as `User:alice`; in a namespace, a RoleBinding."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    pairs = (subject.split(":", 1) for subject in subjects)
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": metadata,
        "subjects": [{"kind": kind, "name": who, "apiGroup": "rbac.authorization.k8s.io"} for kind, who in pairs],
        "roleRef": {"kind": role_kind, "name": role, "apiGroup": "rbac.authorization.k8s.io"},
    }


def policy(*documents: Document) -> Policy:
    """The policy of these roles and bindings."""

    def of(kind: str) -> list[Document]:
        return [document for document in documents if document["kind"] == kind]

    return policy_of(of("ClusterRole"), of("Role"), of("ClusterRoleBinding"), of("RoleBinding"))


@dataclass
class Host:
    """A host whose API is served on a unix socket and over TLS."""

    verbs: Verbs
    store: Store
    authority: HostAuthority
    root: httpx.Client
    port: int
    audit_log: Path
    directory: Path
    above: Above

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def make(self, kind: Kind, document: Document, namespace: str = "") -> Document:
        """Store an object as the daemon would."""
        return self.verbs.create(kind, namespace, document, WriteOptions(field_manager="tests")).document

    def certificate(self, user: str, *groups: str, seconds: float = 3600) -> tuple[bytes, str]:
        """Return key and certificate of a user, as root asks for them, and its name."""
        key, request = certificates.new_request()
        expires = wire_time(datetime.now(UTC) + timedelta(seconds=seconds))
        spec = {"user": user, "groups": list(groups), "expires": expires, "request": request.decode()}
        answer = self.root.post(CERTIFICATES, json={"spec": spec})
        assert answer.status_code == 201, answer.text
        made = answer.json()
        return key + made["spec"]["certificate"].encode(), made["metadata"]["name"]

    def client(self, pem: bytes = b"", token: str = "") -> httpx.Client:
        """A client with a certificate, a token, or nothing; the caller closes it."""
        context = ssl.create_default_context(cadata=self.authority.certificate_pem().decode())
        if pem:
            with tempfile.NamedTemporaryFile() as file:
                file.write(pem)
                file.flush()
                context.load_cert_chain(file.name)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, verify=context, headers=headers, timeout=10)

    def as_user(self, user: str, *groups: str) -> httpx.Client:
        """A client of a user with a certificate; the caller closes it."""
        return self.client(self.certificate(user, *groups)[0])

    def token(self, name: str, *groups: str, scope: Any = None, seconds: float = 3600, user: str = "") -> str:
        """Make a token and return it."""
        secret = f"rwt_{name}_of_the_tests"
        spec = {
            "user": user or f"service:{name}", "groups": list(groups),
            "expires": wire_time(datetime.now(UTC) + timedelta(seconds=seconds)),
            "sha256": hashlib.sha256(secret.encode()).hexdigest(),
        }  # fmt: skip
        spec |= {} if scope is None else {"scope": scope}
        document = {"apiVersion": TOKEN.api_version, "kind": "Token", "metadata": {"name": name}, "spec": spec}
        self.make(TOKEN, document)
        return secret


@contextlib.contextmanager
def a_host(audit_log: str = "audit.log") -> Iterator[Host]:
    """Serve an API with the roles of every host, and the namespaces `default` and `other`."""
    clock, above = SystemClock(), Above()
    with tempfile.TemporaryDirectory(prefix="rnx-") as short:
        directory = Path(short)
        with contextlib.closing(Store.open(directory / "store.db", clock)) as store:
            verbs = Verbs(store, clock)
            verbs.bootstrap()
            for role in presets.cluster_roles():
                verbs.create(CLUSTER_ROLE, "", role, WriteOptions())
            for binding in presets.cluster_role_bindings():
                verbs.create(CLUSTER_ROLE_BINDING, "", binding, WriteOptions())
            verbs.create(NAMESPACE, "", {"metadata": {"name": "other"}}, WriteOptions())
            authority = HostAuthority(directory / "pki", clock, (), ("127.0.0.1", 0))
            audit = AuditFile(directory / audit_log, 1 << 20, 3)
            known: dict[str, Any] = {
                "verbs": verbs, "storage": store, "clock": clock, "node_name": "host-1", "version": "0.1.0",
                "build_logs": ServedBuildLogs(directory / "builds", store),
                "uploads": open_uploads(directory / "contents", clock),
                "artifacts": ServedArtifacts(open_artifacts(directory / "artifacts")),
            }  # fmt: skip
            around = Surroundings(**{field.name: known.get(field.name, above) for field in fields(Surroundings)})
            app = build_app(around, above.on_request, Access(audit=audit, authority=authority, secrets_key=store))
            server = ApiServer(app, directory / "api.sock", Tls("127.0.0.1", 0, authority.context()))
            server.start()
            try:
                with client_of(directory / "api.sock") as root:
                    port = server.encrypted_port()
                    yield Host(verbs, store, authority, root, port, directory / audit_log, directory, above)
            finally:
                server.stop()
                audit.close()
