"""A real daemon behind TLS, kubeconfigs of it that `rnx` prints, and the clients that tests bring along."""

import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.kinds import NAMESPACE
from api.meta import API_VERSION, Document
from support import host
from support.daemon import Daemon, a_daemon
from support.kubectl import BINARY

CLIENTS = Path(__file__).resolve().parents[2] / "build/clients"
_OLDER = {"1.32": CLIENTS / "kubectl-1.32"} if platform.machine() == "x86_64" else {}  # Its package has no other.
KUBECTLS = {**_OLDER, "1.37": BINARY}
GROUP, VERSION = API_VERSION.split("/")
SECONDS = 60


def a_free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def a_served_daemon(*settings: str) -> Iterator[Daemon]:
    """A daemon that is ready, its API served over TLS too; the host is afterwards as it was."""
    before = host.snapshot()
    with a_daemon(f"api.listen=127.0.0.1:{a_free_port()}", *settings) as daemon:
        yield daemon
    host.assert_as_before(before)


def kubeconfig_of(daemon: Daemon, directory: Path, user: str, *flags: str) -> Path:
    """Write the kubeconfig of a user into `directory`; it says what `rnx admin kubeconfig` prints."""
    done = daemon.rnx("admin", "kubeconfig", "--user", user, *flags)
    assert done.returncode == 0, done.stderr
    path = directory / f"{user}.yaml"
    path.write_text(done.stdout)
    return path


def a_space(daemon: Daemon, name: str) -> str:
    """Make a namespace; return its name."""
    daemon.client.create(NAMESPACE, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def a_shell_job(name: str, script: str, /, labels: dict[str, str] | None = None, **spec: Any) -> Document:
    """A Job that runs a shell script once."""
    metadata: Document = {"name": name} | ({"labels": labels} if labels else {})
    document: Document = {"apiVersion": API_VERSION, "kind": "Job", "metadata": metadata}
    return document | {"spec": {"command": ["sh", "-c", script], "backoffLimit": 0} | spec}
