"""`rnx admin`: who may use this host's API: kubeconfigs, tokens, the CA; and the key of Secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from api.cli.connection import Connection, pass_connection, reaching
from api.cli.durations import SECONDS
from api.cli.lazy import Lazy, LazyGroup
from api.cli.output import note, printable, show_columns, show_json

if TYPE_CHECKING:
    from api.kind import Kind
    from api.meta import Document

_DAY = 86400.0
_LONGEST_USUAL = 366 * _DAY
"""What is good for longer outlives who asked for it and what it was for."""
COMMANDS = {
    "kubeconfig": Lazy("api.cli.admin:kubeconfig", "Print a kubeconfig of a user, with a certificate or a token."),
    "token": Lazy("api.cli.admin:token", "Make, list and revoke bearer tokens."),
    "ca": Lazy("api.cli.admin:ca", "Show the CA, and list and revoke what it gave."),
    "rotate-secrets-key": Lazy("api.cli.admin:rotate_secrets_key", "Encrypt all Secrets anew, with a new key."),
}
TOKEN_COMMANDS = {
    "create": Lazy("api.cli.admin:create_token", "Make a token and print it, this once."),
    "list": Lazy("api.cli.admin:list_tokens", "List the tokens."),
    "revoke": Lazy("api.cli.admin:revoke_token", "Revoke a token."),
}
CA_COMMANDS = {
    "show": Lazy("api.cli.admin:show_ca", "Print the CA's certificate."),
    "list": Lazy("api.cli.admin:list_certificates", "List the certificates of clients."),
    "revoke": Lazy("api.cli.admin:revoke_certificate", "Revoke a certificate, or all of a user."),
}


@click.group("admin", cls=LazyGroup, table=COMMANDS)
def admin() -> None:
    """Say who may use this host's API."""


@click.group("token", cls=LazyGroup, table=TOKEN_COMMANDS)
def token() -> None:
    """Make, list and revoke bearer tokens; the server keeps their digests only."""


@click.group("ca", cls=LazyGroup, table=CA_COMMANDS)
def ca() -> None:
    """Show the CA of this host, and list and revoke the certificates that it gave."""


@click.command("kubeconfig")
@reaching
@click.option("--user", required=True, metavar="NAME", help="The user's name.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group of the user; repeatable.")
@click.option(
    "--groups", "more_groups", metavar="NAMES", default="", help="Groups of the user, with commas between them."
)
@click.option("--endpoint", metavar="URL", default="", help="The server it is for. Default: the daemon's api.listen.")
@click.option("--duration", type=SECONDS, default="365d", show_default=True, help="How long it is good.")
@click.option("--token", "with_token", is_flag=True, help="With a bearer token in place of a certificate.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, which clients read as well.")
@pass_connection
def kubeconfig(
    connection: Connection,
    user: str,
    groups: tuple[str, ...],
    more_groups: str,
    endpoint: str,
    duration: float,
    *,
    with_token: bool,
    as_json: bool,
) -> None:
    """Print a kubeconfig that makes kubectl, rnx and all other clients be a user.

    It is a secret: who has it is that user. Revoke it with rnx admin ca revoke, or rnx admin token revoke.
    """
    import yaml

    from api import kubeconfigs

    client = connection.client
    authority = client.authority()
    address = endpoint or authority["server"]
    if not address.startswith("https://"):
        fix = "start runwrightd with --listen HOST:PORT, or name the server with --endpoint https://HOST:PORT"
        raise click.UsageError(f"the daemon serves its API at no address that others can reach: {fix}")
    everything = (*groups, *(name for name in more_groups.split(",") if name))
    if with_token:
        secret, made = _new_token(connection, "", _identity(user, everything, duration))
        proof: dict[str, Any] = {"token": secret}
        said = f"token {made['metadata']['name']}"
    else:
        proof, serial = _new_certificate(connection, _identity(user, everything, duration))
        said = f"certificate {serial}"
    written = kubeconfigs.render(address, authority["certificate"], user, proof, connection.namespace)
    if as_json:
        show_json(written)
    else:
        click.echo(yaml.safe_dump(written, sort_keys=False), nl=False)
    _warn_if_long(duration, _expires(duration), f"rnx admin {'token' if with_token else 'ca'} revoke")
    note(f"{said} of {printable(user)}, good until {_expires(duration)}")


@click.command("create")
@reaching
@click.argument("name")
@click.option("--user", metavar="NAME", default="", help="Whose token it is. Default: service:NAME.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group of the user; repeatable.")
@click.option("--duration", type=SECONDS, default="30d", show_default=True, help="How long it is good.")
@click.option("--verb", "verbs", multiple=True, metavar="VERB", help="Only for this verb; repeatable.")
@click.option("--resource", "resources", multiple=True, metavar="NAME", help="Only for this resource; repeatable.")
@click.option("--in", "namespaces", multiple=True, metavar="NAMESPACE", help="Only in this namespace; repeatable.")
@click.option("--description", default="", metavar="TEXT", help="What it is used for.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: the token, and the object as the API said it.")
@pass_connection
def create_token(
    connection: Connection,
    name: str,
    user: str,
    groups: tuple[str, ...],
    duration: float,
    verbs: tuple[str, ...],
    resources: tuple[str, ...],
    namespaces: tuple[str, ...],
    description: str,
    *,
    as_json: bool,
) -> None:
    """Make a token called NAME and print it. It is shown this once: nothing but its digest is kept.

    --verb, --resource and --in narrow what the user may; they never add to it.
    """
    spec = _identity(user or f"service:{name}", groups, duration)
    if verbs or resources or namespaces:
        part: Document = {"verbs": list(verbs or ("*",)), "resources": list(resources or ("*",))}
        spec["scope"] = [part | ({"namespaces": list(namespaces)} if namespaces else {})]
    spec |= {"description": description} if description else {}
    secret, made = _new_token(connection, name, spec)
    show_json({"token": secret, "object": made}) if as_json else click.echo(secret)
    _warn_if_long(duration, spec["expires"], f"rnx admin token revoke {name}")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")
@reaching
@pass_connection
def list_tokens(connection: Connection, *, as_json: bool) -> None:
    """List the tokens: whose, until when, what for."""
    from api.kinds import TOKEN

    _show(connection, TOKEN, as_json=as_json)


@click.command("revoke")
@reaching
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON: what was revoked.")
@pass_connection
def revoke_token(connection: Connection, name: str, *, as_json: bool) -> None:
    """Revoke the token called NAME; requests with it are refused from now on."""
    from api.kinds import TOKEN

    connection.client.delete(TOKEN, "", name)
    show_json({"revoked": [name]}) if as_json else click.echo(f'token "{printable(name)}" revoked')


@click.command("show")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with the server's address.")
@reaching
@pass_connection
def show_ca(connection: Connection, *, as_json: bool) -> None:
    """Print the CA's certificate, by which clients know the server."""
    authority = connection.client.authority()
    show_json(authority) if as_json else click.echo(authority["certificate"], nl=False)


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")
@reaching
@pass_connection
def list_certificates(connection: Connection, *, as_json: bool) -> None:
    """List the certificates of clients: whose, and until when."""
    from api.kinds import CERTIFICATE

    _show(connection, CERTIFICATE, as_json=as_json)


@click.command("revoke")
@reaching
@click.argument("name", required=False)
@click.option("--user", metavar="NAME", default="", help="All certificates of this user.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: what was revoked.")
@pass_connection
def revoke_certificate(connection: Connection, name: str | None, user: str, *, as_json: bool) -> None:
    """Revoke the certificate called NAME; requests with it are refused from now on, also on open connections."""
    from api.kinds import CERTIFICATE

    if bool(name) == bool(user):
        raise click.UsageError("name one certificate, or a --user: see rnx admin ca list")
    client = connection.client
    found = [name] if name else _of_user(client.list(CERTIFICATE), user)
    for each in found:
        client.delete(CERTIFICATE, "", each)
        if not as_json:
            click.echo(f'certificate "{printable(each)}" revoked')
    if as_json:
        show_json({"revoked": found})
    if not found:
        note(f"{printable(user)} has no certificate")


@click.command("rotate-secrets-key")
@click.option("--json", "as_json", is_flag=True, help="As JSON: how many texts are under the new key.")
@reaching
@pass_connection
def rotate_secrets_key(connection: Connection, *, as_json: bool) -> None:
    """Encrypt all Secrets anew, with a new key, while everything goes on.

    The old key is needed for older backups only. Cut off anywhere, it can be done again.
    """
    count = connection.client.rotate_secrets_key()
    show_json({"rotated": count}) if as_json else click.echo(f"{count} stored texts of Secrets are under a new key")


def _of_user(listed: Document, user: str) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"] if item["spec"]["user"] == user]


def _identity(user: str, groups: tuple[str, ...], duration: float) -> Document:
    spec: Document = {"user": user, "expires": _expires(duration)}
    return spec | ({"groups": list(dict.fromkeys(groups))} if groups else {})


def _expires(duration: float) -> str:
    from datetime import UTC, datetime, timedelta

    from api.meta import wire_time

    return wire_time(datetime.now(UTC) + timedelta(seconds=duration))


def _warn_if_long(duration: float, expires: str, command: str) -> None:
    if duration > _LONGEST_USUAL:
        note(f"Warning: it is good until {expires}, for whoever has it: {command} ends it sooner")


def _new_certificate(connection: Connection, spec: Document) -> tuple[dict[str, Any], str]:
    """Return what proves it is the user, and the certificate's name. The key never leaves this process."""
    from api.access import certificates
    from api.kinds import CERTIFICATE

    key, request = certificates.new_request()
    document = {"apiVersion": CERTIFICATE.api_version, "kind": CERTIFICATE.name, "metadata": {}}
    sent = document | {"spec": spec | {"request": request.decode()}}
    made = connection.client.create(CERTIFICATE, "", sent).document
    return {"certificate": made["spec"]["certificate"], "key": key.decode()}, made["metadata"]["name"]


def _new_token(connection: Connection, name: str, spec: Document) -> tuple[str, Document]:
    """Return a new token and its object. The token never leaves this process but to the person."""
    import hashlib
    import secrets

    from api.kinds import TOKEN

    secret = f"rwt_{secrets.token_urlsafe(32)}"
    metadata = {"name": name} if name else {"generateName": "kubeconfig-"}
    document = {"apiVersion": TOKEN.api_version, "kind": TOKEN.name, "metadata": metadata}
    spec = spec | {"sha256": hashlib.sha256(secret.encode()).hexdigest()}
    return secret, connection.client.create(TOKEN, "", document | {"spec": spec}).document


def _show(connection: Connection, kind: Kind, *, as_json: bool) -> None:
    if as_json:
        show_json(connection.client.list(kind))
        return
    table = connection.client.table(kind, None)
    shown = [place for place, column in enumerate(table["columnDefinitions"]) if not column.get("priority")]
    rows: list[list[object]] = [[table["columnDefinitions"][place]["name"].upper() for place in shown]]
    rows += [[printable(row["cells"][place]) for place in shown] for row in table["rows"]]
    show_columns(rows)
