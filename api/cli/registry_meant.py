"""Which Registry an install is to be from: one that is declared, or one of an address, which is declared then.

Invariant: a registry that this command declared and that cannot be read is not left behind.
"""

import contextlib

from api import kinds, urls
from api.cli.connection import Connection
from api.cli.output import note, printable
from api.cli.problems import CommandFailed
from api.client import Client
from api.client_watch import TimedOut, condition, wait_for
from api.errors import Conflict, NotFound
from api.meta import API_VERSION, Document

FIRST_LOOK_SECONDS = 60.0
"""How long the server may take for its first look at a registry, before whoever installs waits for the install."""


def registry_of(connection: Connection, text: str, *, seconds: float | None, is_waited_for: bool) -> str:
    """Return the name of the Registry that `text` names; empty for any.

    Of an address, one is declared if there is none, and, if the install `is_waited_for`, looked at for `seconds` at
    most. Those of the person's file are declared if they are not there and no text names another.

    Raises:
        CommandFailed: it is disabled, or the one that was declared for this cannot be read.
        NotFound: there is none of this name.
    """
    configured, client = connection.config.registries, connection.client
    if not text:
        for name, url in configured.items():
            _refuse_password(url)
            _declared_for(client, url, name)
        return ""
    name = text if text in configured else ""
    address = configured.get(text, text)
    _refuse_password(address)
    if "/" not in address:
        if not client.get(kinds.REGISTRY, "", address)["spec"].get("enabled", True):
            raise CommandFailed(
                f"registry/{address} is disabled: set its spec.enabled to true, or name another registry"
            )
        return address
    found, is_new = _declared_for(client, address, name)
    if is_new and is_waited_for:
        _check_that_it_is_read(client, found, seconds)
    return str(found["metadata"]["name"])


def _refuse_password(address: str) -> None:
    """Refuse it before it becomes the name of a Registry too."""
    if urls.names_somebody(address):
        what = f"cannot use the registry {urls.redacted(address)}: a password in its address would be shown"
        raise CommandFailed(f"{what}: declare a Registry with spec.credentials")


def _declared_for(client: Client, address: str, name: str) -> tuple[Document, bool]:
    """Return the Registry of an address, and whether it was declared just now, as `name` or by its address."""
    for item in client.list(kinds.REGISTRY)["items"]:
        if item["spec"].get("url") == address:
            return dict(item), False
    words = "".join(c if c.isalnum() else "-" for c in address.lower()).split("-")
    name = name or "-".join(filter(None, words))[:63].strip("-")
    document = {"apiVersion": API_VERSION, "kind": "Registry", "metadata": {"name": name}, "spec": {"url": address}}
    created = client.create(kinds.REGISTRY, "", document).document
    note(f"Registry {name} declared for {address}")
    return created, True


def _check_that_it_is_read(client: Client, registry: Document, seconds: float | None) -> None:
    """Wait for the first look at a registry that was just declared; if it fails, declare it no longer."""
    name = str(registry["metadata"]["name"])
    limit = FIRST_LOOK_SECONDS if seconds is None else min(seconds, FIRST_LOOK_SECONDS)
    try:
        looked = wait_for(client, kinds.REGISTRY, "", name, until=_was_looked_at, timeout_seconds=limit) or {}
    except TimedOut:
        return  # The install waits for it, and tells of it.
    ready = condition(looked, "Ready") or {}
    if ready.get("status") == "True":
        return
    why = ": ".join(filter(None, (ready.get("reason"), printable(str(ready.get("message", ""))))))
    raise CommandFailed(f"cannot install from registry/{name}: {why}: {_taken_back(client, looked)}")


def _was_looked_at(registry: Document | None) -> bool:
    if registry is None:
        raise CommandFailed("the registry was deleted meanwhile")
    return (condition(registry, "Ready") or {}).get("status") in ("True", "False")


def _taken_back(client: Client, registry: Document) -> str:
    metadata = registry["metadata"]
    with contextlib.suppress(Conflict, NotFound):  # Somebody was quicker.
        client.delete(kinds.REGISTRY, "", metadata["name"], uid=metadata["uid"])
    return "it is not declared any more: correct --registry, or see that it answers"
