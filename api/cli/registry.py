"""`rnx registry`: a registry on this machine, served, signed and verified; no daemon is asked."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.cli.lazy import Lazy, LazyGroup
from api.cli.output import note, printable, show_json
from api.cli.problems import CommandFailed
from api.packages.findings import Refused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

COMMANDS = {
    "serve": Lazy("api.cli.registry:serve", "Serve a registry over HTTP."),
    "keygen": Lazy("api.cli.registry:keygen", "Make a key to sign registries with."),
    "sign": Lazy("api.cli.registry:sign", "Sign a registry."),
    "verify": Lazy("api.cli.registry:verify", "Check a registry, its archives and its signature."),
}
_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group("registry", cls=LazyGroup, table=COMMANDS)
def registry() -> None:
    """Serve, sign and verify registries of runtimes; rnx runtime publish adds to them."""


@click.command("serve")
@click.argument("directory", type=_DIRECTORY)
@click.option("--listen", default="127.0.0.1:8700", metavar="HOST:PORT", show_default=True, help="Port 0 takes any.")
def serve(directory: Path, listen: str) -> None:
    """Serve registry.json, its signature and the archives that it names, and nothing else, until interrupted."""
    from api.packages.serving import RegistryServer

    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise click.UsageError(f'cannot listen at "{listen}": write HOST:PORT, such as 127.0.0.1:8700')
    try:
        server = RegistryServer(directory, host.strip("[]"), int(port))
    except OSError as error:
        raise CommandFailed(f"cannot listen at {listen}: {error.strerror}") from None
    with server:
        click.echo(f"Serving {directory} at {server.url}")
        note(f"Declare it with: rnx runtime install NAME --registry={server.url}")
        server.serve_forever()


@click.command("keygen")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def keygen(file: Path, *, as_json: bool) -> None:
    """Write a new private key to FILE and its public key to FILE.pub, and print the public key."""
    from api.packages import signing

    public = signing.generate(file)
    show_json({"file": str(file), "publicKey": public}) if as_json else click.echo(public)


@click.command("sign")
@click.argument("directory", type=_DIRECTORY)
@click.option("--key", required=True, metavar="FILE", type=click.Path(path_type=Path), help="The private key.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def sign(directory: Path, key: Path, *, as_json: bool) -> None:
    """Write DIRECTORY/registry.json.sig."""
    from api.packages import registry_json, signing

    written = str(registry_json.sign(directory, signing.private_key(key)))
    show_json({"written": written}) if as_json else click.echo(f"{written} written")


@click.command("verify")
@click.argument("path", metavar="DIR|FILE", type=click.Path(exists=True, path_type=Path))
@click.option("--public-key", metavar="KEY|FILE", help="Whose signature it must have.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def verify(path: Path, public_key: str | None, *, as_json: bool) -> None:
    """Check a registry.json, the archives beside it and, with --public-key, its signature."""
    from api.packages import registry_json

    key = _public_key(public_key) if public_key else None
    report = registry_json.check(path / registry_json.FILE if path.is_dir() else path, key)
    if as_json:
        from api.cli.runtime_author import findings_of

        show_json(findings_of(report))
    for finding in () if as_json else report.findings:
        click.echo(printable(finding))
    if report.errors:
        raise CommandFailed


def _public_key(key: str) -> "Ed25519PublicKey":
    """Return the public key that `key` is, or that the file of this name holds."""
    from api.packages import signing

    path = Path(key)
    try:
        if path.is_file():
            return signing.public_key(path.read_text("ascii", "replace"), f"the public key {path}")
    except OSError as error:
        raise Refused(f"cannot read the key {key}: {error.strerror}") from None
    try:
        return signing.public_key(key)
    except Refused as error:
        raise Refused(f"{error}, or a file that holds that: there is no file {key}") from None
