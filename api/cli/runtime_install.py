"""`rnx runtime install`, and the changes of `spec.versions` behind it and `remove`."""

from dataclasses import dataclass
from pathlib import Path

import click

from api import kinds, runtime_requests, runtime_spec
from api.cli import runtimes as words
from api.cli.completing import complete_offer
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.delete import Options, delete_and_wait
from api.cli.durations import SECONDS
from api.cli.output import note, printable, show_json
from api.cli.problems import CommandFailed
from api.cli.progress import InstallProgress
from api.cli.registry_meant import registry_of
from api.cli.runtime_ask import ask, result_of
from api.cli.targets import Target
from api.client import Client
from api.client_watch import TimedOut, condition, wait_for
from api.errors import Conflict, NotFound
from api.meta import API_VERSION, Document
from api.runtime_requests import Request
from api.runtime_spec import LATEST, RuntimeSpec
from api.types.runtime import FIRST_VERSION, MADE_SOURCES

_HOPELESS = frozenset(
    {"RuntimeNotFound", "PlatformUnsupported", "ChecksumMismatch", "InvalidRuntime", "RuntimesDisabled"}
)
_PASSING = frozenset({"Unreachable", "RegistryUnavailable", "InstallInProgress"})


@dataclass(frozen=True, slots=True)
class _Declared:
    """What this command itself declared: the version, or the whole Runtime, if it is still `created_uid`.

    And the registry, if it `bound_to` another one than `bound_before`, which is None where none was named.
    """

    is_added: bool
    created_uid: str = ""
    created_generation: int = 0
    bound_to: str = ""
    bound_before: str | None = None


class _Hopeless(CommandFailed):
    """No registry has what was asked for: to try it again and again is of no use."""


@click.command("install")
@click.argument("spec", metavar="NAME[@VERSION]", shell_complete=complete_offer)
@click.option("--registry", default="", metavar="NAME|OWNER/REPO|URL", help="Install from this registry only.")
@click.option("-f", "--force", is_flag=True, help="If it is installed, verify it and install again what differs.")
@click.option("--timeout", type=SECONDS, metavar="DURATION", help="Give up waiting after this long; default: never.")
@click.option(
    "--wait",
    default=True,
    is_flag=False,
    flag_value="true",
    type=bool,
    metavar="true|false",
    show_default=True,
    help="Wait until it is installed.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON: the Runtime as the API said it.")
@reaching
@pass_connection
def install(
    connection: Connection, *, spec: str, registry: str, force: bool, timeout: float | None, wait: bool, as_json: bool
) -> None:
    """Install a runtime; without a version the latest of its registry. VERSION may be a range, such as ^1.3."""
    wanted = words.parse(connection.config.runtime(spec))
    if wanted.name is None:
        raise click.UsageError(
            f"cannot install {spec}: name the runtime, such as python-3.11-ml: a language may mean several"
        )
    said = _installed(connection, wanted, wanted.name, registry=registry, force=force, timeout=timeout, wait=wait)
    show_json(connection.client.get(kinds.RUNTIME, "", wanted.name)) if as_json else click.echo(said)


def _installed(
    connection: Connection, wanted: RuntimeSpec, name: str, *, registry: str, force: bool, timeout: float | None,
    wait: bool,
) -> str:  # fmt: skip
    """Have it installed; return what to say of it."""
    client = connection.client
    before = _find(client, name)
    version = _wanted_of(before, wanted)
    if before is not None and _is_installed(before, version):
        if force:
            return _install_again(client, before, wanted, timeout)
        return f"Runtime {_resolved(before, wanted)} is already installed"
    registry = registry_of(connection, registry, seconds=timeout, is_waited_for=wait)
    declared = _declare(client, before, name, version, registry)
    if not wait:
        return f"Runtime {wanted} is declared"
    try:
        ready = _wait_for_install(client, name, version, timeout)
    except _Hopeless as error:
        done = _take_back(client, name, version, declared)
        raise CommandFailed(f"{error.message}{': ' if done else ''}{done}") from error
    if connection.address.socket is not None:  # The server's files are ours.
        _warn_of_manifest(words.version_of(ready, words.meant(ready, wanted) or ""))
    return f"Runtime {_resolved(ready, wanted)} installed"


def _warn_of_manifest(installed: Document) -> None:
    """Tell what the author of a runtime should know of its runtime.yml, where that can be read from here."""
    from api.packages import runtime_yaml
    from api.packages.listing import RUNTIME_YML
    from api.packages.manifest import InvalidManifest

    path = Path(str(installed.get("path", ""))) / RUNTIME_YML
    if not path.is_absolute():
        return
    try:
        warnings = runtime_yaml.load(path.read_bytes()).warnings
    except (OSError, InvalidManifest):
        return
    for warning in warnings:
        note(f"{click.style('warning:', fg='yellow')} {printable(f'{path}:{warning}')}")


def _find(client: Client, name: str) -> Document | None:
    try:
        return client.get(kinds.RUNTIME, "", name)
    except NotFound:
        return None


def _install_again(client: Client, runtime: Document, wanted: RuntimeSpec, timeout: float | None) -> str:
    """Have what is installed verified, and wait until what differs is installed again; return what to say of it."""
    name, resolved = runtime["metadata"]["name"], _resolved(runtime, wanted)
    meant = words.meant(runtime, wanted)
    heard = ask(client, name, Request.VERIFY, () if meant is None else (meant,), timeout)
    if runtime_requests.is_good(result_of(heard, Request.VERIFY)):
        return f"Runtime {resolved} is already installed, and is what was installed"

    def is_mended(now: Document | None) -> bool:
        if now is None:
            raise CommandFailed(f"runtime {name} was deleted")
        differs = any(each.get("drift") for each in now.get("status", {}).get("versions") or ())
        return not differs and _is_installed(now, wanted.wanted)

    wait_for(client, kinds.RUNTIME, "", name, until=is_mended, timeout_seconds=timeout)
    return f"Runtime {resolved} installed again"


def _is_installed(runtime: Document, version: str) -> bool:
    if version not in _declared(runtime):
        return False
    if runtime_spec.is_version(version):
        return _works(words.version_of(runtime, version))
    if not _is_observed(runtime):
        return False
    return (condition(runtime, "Ready") or {}).get("status") == "True" or _has_what_is_meant(runtime, version)


def _has_what_is_meant(runtime: Document, version: str) -> bool:
    """Whether what a range or `latest` was last said to mean works, whatever becomes of what else is asked for.

    Not while one that it may mean too is on its way, or is in trouble.
    """
    status = runtime.get("status", {})
    said = [str(each["version"]) for each in status.get("history") or () if each.get("asked") == version]
    if not said or not _works(words.version_of(runtime, said[-1])):
        return False
    others = (each for each in status.get("versions") or () if each["version"] != said[-1] and not _works(each))
    return not any(words.may_mean(version, str(each["version"])) for each in others)


def _works(found: Document) -> bool:
    return found.get("state") == "Installed" and found.get("health") != "Unhealthy"


def _wanted_of(before: Document | None, wanted: RuntimeSpec) -> str:
    """Return which version is to be there: of a runtime that is made, the one that it makes."""
    made_by = _made_by(before or {})
    if before is None or not made_by:
        return wanted.wanted
    makes = _declared(before)[0]
    if not runtime_spec.matches(wanted.wanted, makes):
        why = f"runtime {wanted.name} makes {makes} by its spec.{made_by}, and no other version"
        raise CommandFailed(f"cannot install {wanted}: {why}: ask for {wanted.name}, or apply another spec.{made_by}")
    return makes


def _made_by(runtime: Document) -> str:
    spec = runtime.get("spec", {})
    return next((source for source in MADE_SOURCES if spec.get(source) is not None), "")


def _declared(runtime: Document) -> list[str]:
    default = FIRST_VERSION if _made_by(runtime) else LATEST
    return list(runtime.get("spec", {}).get("versions", (default,)))


def _resolved(runtime: Document, wanted: RuntimeSpec) -> str:
    return f"{wanted.name}@{words.meant(runtime, wanted) or wanted.wanted}"


def _declare(client: Client, before: Document | None, name: str, version: str, registry: str) -> _Declared:
    """Make sure that the Runtime wants `version`; return what of that is new."""
    if before is None:
        spec: Document = {"versions": [version]} | ({"registry": registry} if registry else {})
        document = {"apiVersion": API_VERSION, "kind": "Runtime", "metadata": {"name": name}, "spec": spec}
        metadata = client.create(kinds.RUNTIME, "", document).document["metadata"]
        return _Declared(is_added=True, created_uid=metadata["uid"], created_generation=metadata["generation"])

    def patch_for(current: Document) -> Document | None:
        versions = _declared(current)
        spec: Document = {} if version in versions else {"versions": [*versions, version]}
        spec |= {"registry": registry} if registry and current["spec"].get("registry") != registry else {}
        return {"spec": spec} if spec else None

    client.change(kinds.RUNTIME, "", name, patch_for)
    bound_before = before["spec"].get("registry")
    bound_to = registry if registry != bound_before else ""
    return _Declared(is_added=version not in _declared(before), bound_to=bound_to, bound_before=bound_before)


def _take_back(client: Client, name: str, version: str, declared: _Declared) -> str:
    """Undo what this command declared and nobody has changed since; return what was done, for a person."""
    if not declared.is_added and not declared.bound_to:
        return ""
    try:
        now = client.get(kinds.RUNTIME, "", name)
        if _is_as_created(now, declared):
            revision = now["metadata"]["resourceVersion"]
            client.delete(kinds.RUNTIME, "", name, uid=declared.created_uid, resource_version=revision)
            return f"runtime {name} is not declared any more"
        client.change(kinds.RUNTIME, "", name, lambda current: _as_before(current, version, declared))
    except NotFound:
        return ""
    except Conflict:
        return f"it is still declared: rnx runtime remove {name} takes it back"
    what = version if declared.is_added else ""
    what += f"{' of ' if what else ''}registry/{declared.bound_to}" if declared.bound_to else ""
    return f"runtime {name} does not ask for {what} any more"


def _is_as_created(runtime: Document, declared: _Declared) -> bool:
    metadata = runtime["metadata"]
    return (metadata["uid"], metadata["generation"]) == (declared.created_uid, declared.created_generation)


def _as_before(runtime: Document, version: str, declared: _Declared) -> Document | None:
    spec: Document = dict((_without(runtime, version) or {}).get("spec", {})) if declared.is_added else {}
    if declared.bound_to and runtime["spec"].get("registry") == declared.bound_to:
        spec["registry"] = declared.bound_before
    return {"spec": spec} if spec else None


def _without(runtime: Document, version: str) -> Document | None:
    versions = _declared(runtime)
    return {"spec": {"versions": [each for each in versions if each != version]}} if version in versions else None


def _wait_for_install(client: Client, name: str, version: str, timeout: float | None) -> Document:
    with InstallProgress() as progress:
        why = ""

        def is_there(runtime: Document | None) -> bool:
            nonlocal why
            if runtime is None:
                raise CommandFailed(f"runtime {name} was deleted")
            progress.show(runtime)
            if _is_installed(runtime, version):
                return True
            _give_up_if_hopeless(runtime, name, version)
            before, why = why, _held_up_by(runtime, version) or why
            if why != before:
                note(f"runtime {name} waits: {why}")
            return False

        try:
            found = wait_for(client, kinds.RUNTIME, "", name, until=is_there, timeout_seconds=timeout)
        except TimedOut:
            raise TimedOut(
                f"timed out waiting for runtime {name}: {why + ': ' if why else ''}it goes on: "
                f"rnx describe runtime/{name} says how far it is"
            ) from None
    return found or {}


def _give_up_if_hopeless(runtime: Document, name: str, version: str) -> None:
    """Raise CommandFailed if what failed cannot come right by itself."""
    if not _is_observed(runtime) or _held_up_by(runtime, version):
        return
    reason, message = _why_not(runtime, version)
    one = words.version_of(runtime, version)
    if reason == "Unhealthy" and (one.get("health") == "Unhealthy" or not one):
        raise CommandFailed(f"{name}@{version} is installed and does not work: {one.get('healthMessage') or message}")
    if one.get("state") != "Failed" and (reason not in _HOPELESS or one.get("state") == "Installing"):
        return
    reason = reason if _is_about(runtime, version) else ""
    failed, why = f"cannot install {name}@{version}", str(one.get("message") or message)
    text = ": ".join(filter(None, (failed, reason, why.removeprefix(f"{failed}: "))))
    raise (_Hopeless if reason == "RuntimeNotFound" else CommandFailed)(text)


def _held_up_by(runtime: Document, version: str) -> str:
    """Return what keeps the version back that may pass by itself; nothing if nothing does."""
    one = words.version_of(runtime, version)
    reason, message = _why_not(runtime, version)
    if not _is_observed(runtime) or reason not in _PASSING or not _is_about(runtime, version):
        return ""
    return f"{reason}: {one.get('message') or message}"


def _why_not(runtime: Document, version: str) -> tuple[str, str]:
    """Return the reason and message of one version, or those of the Runtime if there are none of its own."""
    reason, message = words.readiness(runtime)
    one = words.version_of(runtime, version)
    return str(one.get("reason") or reason), message


def _is_observed(runtime: Document) -> bool:
    return bool(runtime.get("status", {}).get("observedGeneration", 0) >= runtime["metadata"].get("generation", 1))


def _is_about(runtime: Document, version: str) -> bool:
    """Say whether `_why_not` is about this version: with several, Ready's reason is that of the first that failed."""
    return _declared(runtime) == [version] or bool(words.version_of(runtime, version).get("reason"))


def drop(connection: Connection, runtime: Document, version: str | None, timeout: float | None) -> None:
    """Take `version`, or all of it, out of what is wanted, and wait until it is gone."""
    client, name = connection.client, runtime["metadata"]["name"]
    declared = _declared(runtime)
    if version is not None and version not in declared:
        known = ", ".join(declared) or "none"
        raise CommandFailed(
            f"cannot remove {name}@{version}: what is declared is {known}: remove that, or edit the Runtime"
        )
    if version is None or declared == [version]:
        delete_and_wait(connection, [("", Target(kinds.RUNTIME, name))], Options(timeout_seconds=timeout, quiet=True))
        return

    client.change(kinds.RUNTIME, "", name, lambda current: _without(current, version))

    def is_done(now: Document | None) -> bool:
        """Whether it is gone, or stays for another reason."""
        found = words.version_of(now or {}, version)
        return not found or (now is not None and _is_observed(now) and found.get("state") == "Installed")

    now = wait_for(client, kinds.RUNTIME, "", name, until=is_done, timeout_seconds=timeout)
    if found := words.version_of(now or {}, version):
        note(f"{name}@{version} stays installed: {found.get('keptBecause') or 'it is wanted'}")
