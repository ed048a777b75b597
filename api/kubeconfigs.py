"""kubeconfig files: made for a user, and read back by `rnx`. Secrets are in them, and in no message of this module.

Source: kubernetes.io, "Organizing Cluster Access Using kubeconfig Files".
"""

import base64
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.meta import Document

CLUSTER = "runwright"


class BadKubeconfig(Exception):
    """The file cannot be used; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A server, the CA that it is known by, and what proves who asks."""

    server: str
    namespace: str = ""
    authority: bytes = field(default=b"", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)

    def context(self) -> ssl.SSLContext:
        """Return the client's side of TLS."""
        context = ssl.create_default_context(cadata=self.authority.decode() or None)
        if self.certificate:
            with tempfile.NamedTemporaryFile(prefix="rnx-") as file:  # Mode 0600; the module takes no other form.
                file.write(self.key + self.certificate)
                file.flush()
                context.load_cert_chain(file.name)
        return context


def render(server: str, authority: str, user: str, proof: Mapping[str, str], namespace: str) -> Document:
    """Return a kubeconfig of one user at one server; `proof` is a token, or a certificate and its key."""
    if "token" in proof:
        mine: dict[str, str] = {"token": proof["token"]}
    else:
        mine = {
            "client-certificate-data": _encoded(proof["certificate"]),
            "client-key-data": _encoded(proof["key"]),
        }
    context = f"{user}@{CLUSTER}"
    cluster = {"server": server, "certificate-authority-data": _encoded(authority)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CLUSTER, "cluster": cluster}],
        "users": [{"name": user, "user": mine}],
        "contexts": [{"name": context, "context": {"cluster": CLUSTER, "user": user, "namespace": namespace}}],
        "current-context": context,
    }


def read(path: Path) -> Credentials:
    """Return what the current context of a kubeconfig says.

    Raises:
        BadKubeconfig: it cannot be read, or lacks a part.
    """
    import yaml  # Who asks by the socket of this host has no kubeconfig, and need not wait for this.

    try:
        document = yaml.safe_load(path.read_text())
        if not isinstance(document, dict):
            what = "it is empty" if document is None else "it is no map of clusters, users and contexts"
            raise BadKubeconfig(f"cannot read the kubeconfig {path}: {what}: rnx admin kubeconfig writes one")
        context = _named(document, "contexts", document["current-context"])["context"]
        cluster = _named(document, "clusters", context["cluster"])["cluster"]
        user = _named(document, "users", context["user"])["user"]
        return Credentials(
            server=str(cluster["server"]).rstrip("/"),
            namespace=str(context.get("namespace") or ""),
            authority=_content(path, cluster, "certificate-authority"),
            certificate=_content(path, user, "client-certificate"),
            key=_content(path, user, "client-key"),
            token=str(user.get("token") or ""),
        )
    except OSError as error:
        raise BadKubeconfig(f"cannot read the kubeconfig {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadKubeconfig(f"cannot read the kubeconfig {path}: it is no YAML") from error
    except KeyError as error:
        raise BadKubeconfig(f"cannot read the kubeconfig {path}: its current context lacks {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        why = "a part of its current context is not what it should be: rnx admin kubeconfig writes one that is"
        raise BadKubeconfig(f"cannot read the kubeconfig {path}: {why}") from error


def _named(document: Any, section: str, name: str) -> Any:
    found = [each for each in document.get(section) or () if each["name"] == name]
    if not found:
        raise KeyError(f"{section}/{name}")
    return found[0]


def _content(path: Path, part: Mapping[str, Any], name: str) -> bytes:
    """Return what a part has in itself, or in the file that it names, beside the kubeconfig."""
    if part.get(f"{name}-data"):
        return base64.b64decode(part[f"{name}-data"], validate=True)
    return (path.parent / part[name]).read_bytes() if part.get(name) else b""


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
