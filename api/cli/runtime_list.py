"""`rnx runtime list`: the versions on this host, or what registries offer to it."""

from typing import Any

import click

from api import kinds
from api.cli import runtimes as words
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.output import age, note, show_columns, show_json, size
from api.cli.problems import CommandFailed
from api.cli.problems import describe as describe_error
from api.client import Client
from api.errors import ApiError, NotFound, ServiceUnavailable
from api.meta import Document

_SHORT_DIGEST = 12
_COLUMNS = (
    "NAME", "VERSION", "STATE", "LATEST", "HEALTH", "SIZE", "SHARED", "IN USE", "DIGEST", "INSTALLED", "MESSAGE",
)  # fmt: skip
_WIDE = ("SHARED", "IN USE", "DIGEST")


@click.command("list")
@click.option(
    "--registry", "--github-repo", "registry", is_flag=False, flag_value="*", metavar="NAME",
    help="What registries offer, not what is here: of all, or with --registry=NAME of one.",
)  # fmt: skip
@click.option("--refresh", is_flag=True, help="With --registry: ask them anew, however young what is known is.")
@click.option("-o", "--output", type=click.Choice(["wide"]), help="Also what is shared, in use, and the digest.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@reaching
@pass_connection
def list_runtimes(
    connection: Connection, *, registry: str | None, refresh: bool, output: str | None, as_json: bool
) -> None:
    """List the versions of runtimes on this host, or with --registry what registries offer."""
    if registry is not None:
        _list_offers(connection.client, registry, refresh=refresh, as_json=as_json)
        return
    listing = connection.client.list(kinds.RUNTIME)
    users = words.all_users(connection.client)
    if as_json:
        show_json([entry for item in listing["items"] for entry in entries_of(item, users)])
        return
    rows = [row for item in listing["items"] for row in rows_of(item, users)]
    if not rows:
        note("No runtimes found: install one with rnx runtime install NAME")
        return
    shown = [index for index, name in enumerate(_COLUMNS) if output == "wide" or name not in _WIDE]
    show_columns([[row[index] for index in shown] for row in (_COLUMNS, *rows)])


def rows_of(item: Document, users: words.Users) -> list[list[str]]:
    """Return a Runtime as rows, one a version, the highest last; one row if there is no version yet."""
    return [
        [
            each["name"], each["version"], each["state"], "yes" if each["isLatest"] else "", each["health"],
            size(each["diskBytes"]), size(each["sharedBytes"]), str(len(each["inUseBy"]) or ""),
            _short(each["digest"]), f"{age(each['installedAt'])} ago" if each["installedAt"] else "", each["message"],
        ]
        for each in entries_of(item, users)
    ]  # fmt: skip


def entries_of(item: Document, users: words.Users) -> list[Document]:
    """Return a Runtime's versions as JSON shows them; one entry without a version if there is none yet."""
    name, status = item["metadata"]["name"], item.get("status", {})
    versions = sorted(status.get("versions") or (), key=lambda version: words.order(version["version"]))
    if not versions:
        reason, message = words.readiness(item)
        return [_entry(name, {"state": reason or "Pending", "message": message}, status, [])]
    return [_entry(name, each, status, users.of(name, each["version"])) for each in versions]


def _entry(name: str, version: Document, status: Document, users: list[str]) -> Document:
    number, state = version.get("version", ""), version.get("state", "")
    problem = version.get("healthMessage") if version.get("health") == "Unhealthy" else version.get("drift")
    return {
        "name": name,
        "version": number,
        "state": state,
        "available": state == "Installed" and version.get("health") != "Unhealthy",
        "isLatest": bool(number) and number == status.get("latest"),
        "health": version.get("health", ""),
        "diskBytes": version.get("diskBytes"),
        "sharedBytes": version.get("sharedBytes"),
        "digest": version.get("digest", ""),
        "source": version.get("source", ""),
        "registry": version.get("registry", ""),
        "path": version.get("path", ""),
        "installedAt": version.get("installedAt"),
        "inUseBy": users,
        "message": version.get("message") or problem or "",
    }


def _short(digest: str) -> str:
    kind, colon, digits = digest.rpartition(":")
    return f"{kind}{colon}{digits[:_SHORT_DIGEST]}"


def _list_offers(client: Client, registry: str, *, refresh: bool, as_json: bool) -> None:
    found, failures = _offers(client, _names(client, registry), refresh=refresh)
    if as_json:
        show_json(found)
    else:
        rows = [row for name, catalogue in found.items() for row in _offer_rows(name, catalogue)]
        if rows:
            show_columns([["NAME", "VERSION", "SIZE", "RUNS HERE", "REGISTRY", "DESCRIPTION"], *rows])
        elif not failures:
            note("No runtimes are offered")
        for name, catalogue in found.items():
            if catalogue.get("problem"):
                note(f"registry/{name}: {catalogue['problem']}")
    for text in failures:
        note(text)
    if failures:
        raise CommandFailed


def _offers(client: Client, names: list[str], *, refresh: bool) -> tuple[dict[str, Any], list[str]]:
    """Return the catalogues of registries by name, and what is to be said of those that cannot be read."""
    found: dict[str, Any] = {}
    failures = []
    for name in names:
        try:
            found[name] = client.catalogue(name, refresh=refresh)
        except ServiceUnavailable as error:
            failures.append(f"registry/{name}: {error.message}")
        except ApiError as error:
            failures.append(describe_error(error))
    return found, failures


def _offer_rows(registry: str, catalogue: Document) -> list[list[str]]:
    return [
        [name, version, size(fields.get("sizeBytes")), "no" if fields.get("unsupported") else "yes", registry,
         fields.get("description", "")]
        for name, versions in catalogue.get("runtimes", {}).items()
        for version, fields in versions.items()
    ]  # fmt: skip


def _names(client: Client, registry: str) -> list[str]:
    """Return the Registries that are meant: all enabled ones, or the one of this name or URL."""
    registries = client.list(kinds.REGISTRY)["items"]
    if registry == "*":
        return [str(item["metadata"]["name"]) for item in registries if item["spec"].get("enabled", True)]
    for item in registries:
        if registry in (item["metadata"]["name"], item["spec"].get("url")):
            return [str(item["metadata"]["name"])]
    known = ", ".join(str(item["metadata"]["name"]) for item in registries) or "none"
    raise NotFound(f'registry "{registry}" not found: there are {known}')
