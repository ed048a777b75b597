"""`rnx runtime install` and `test`, and the changes of `spec.versions` behind them and `remove`."""

from dataclasses import dataclass

import click

from api import kinds
from api.cli import follow
from api.cli import runtimes as words
from api.cli.completing import complete_runtime
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.delete import Options, delete_and_wait
from api.cli.durations import SECONDS
from api.cli.job_run import document_of
from api.cli.output import note
from api.cli.problems import CommandFailed
from api.cli.progress import InstallProgress
from api.cli.targets import Target
from api.client import Client
from api.client_watch import TimedOut, condition, wait_for
from api.errors import Conflict, NotFound
from api.meta import API_VERSION, Document
from api.runtime_spec import LATEST, RuntimeSpec

_ASK = {
    "python": ("python", "--version"), "java": ("java", "-version"), "openjdk": ("java", "-version"),
    "graalvmjdk": ("java", "-version"), "node": ("node", "--version"), "go": ("go", "version"),
    "golang": ("go", "version"), "ruby": ("ruby", "--version"), "php": ("php", "--version"),
    "rust": ("rustc", "--version"), "perl": ("perl", "--version"), "dotnet": ("dotnet", "--version"),
}  # fmt: skip
_HOPELESS = frozenset(
    {"RuntimeNotFound", "PlatformUnsupported", "ChecksumMismatch", "InvalidRuntime", "RuntimesDisabled"}
)
_PASSING = frozenset({"Unreachable", "RegistryUnavailable", "InstallInProgress"})


@dataclass(frozen=True, slots=True)
class _Declared:
    """What this command itself declared: the version, or the whole Runtime, if it is still `created_uid`."""

    is_added: bool
    created_uid: str = ""
    created_generation: int = 0


class _Hopeless(CommandFailed):
    """No registry has what was asked for: to try it again and again is of no use."""


@click.command("install")
@click.argument("spec", metavar="NAME[@VERSION]")
@click.option("--registry", default="", metavar="NAME|OWNER/REPO|URL", help="Install from this registry only.")
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
@reaching
@pass_connection
def install(connection: Connection, *, spec: str, registry: str, timeout: float | None, wait: bool) -> None:
    """Install a runtime; without a version the latest of its registry."""
    wanted = words.parse(spec)
    if wanted.name is None:
        raise click.UsageError(
            f"cannot install {spec}: name the runtime, such as python-3.11-ml: a language may mean several"
        )
    client, version = connection.client, wanted.version or LATEST
    before = _find(client, wanted.name)
    if before is not None and _is_installed(before, version):
        click.echo(f"Runtime {_resolved(before, wanted)} is already installed")
        return
    declared = _declare(client, before, wanted.name, version, _registry_name(client, registry))
    if not wait:
        click.echo(f"Runtime {wanted} is declared")
        return
    try:
        ready = _wait_for_install(client, wanted.name, version, timeout)
    except _Hopeless as error:
        done = _take_back(client, wanted.name, version, declared)
        raise CommandFailed(f"{error.message}{': ' if done else ''}{done}") from error
    click.echo(f"Runtime {_resolved(ready, wanted)} installed")


def _find(client: Client, name: str) -> Document | None:
    try:
        return client.get(kinds.RUNTIME, "", name)
    except NotFound:
        return None


def _is_installed(runtime: Document, version: str) -> bool:
    if version == LATEST:
        observed = runtime.get("status", {}).get("observedGeneration", 0) >= runtime["metadata"].get("generation", 1)
        ready = condition(runtime, "Ready") or {}
        return observed and LATEST in runtime["spec"].get("versions", ()) and ready.get("status") == "True"
    wanted = version in runtime.get("spec", {}).get("versions", ())
    return wanted and words.version_of(runtime, version).get("state") == "Installed"


def _resolved(runtime: Document, wanted: RuntimeSpec) -> str:
    return f"{wanted.name}@{wanted.version or runtime.get('status', {}).get('latest') or LATEST}"


def _declare(client: Client, before: Document | None, name: str, version: str, registry: str) -> _Declared:
    """Make sure that the Runtime wants `version`; return what of that is new."""
    if before is None:
        spec: Document = {"versions": [version]} | ({"registry": registry} if registry else {})
        document = {"apiVersion": API_VERSION, "kind": "Runtime", "metadata": {"name": name}, "spec": spec}
        metadata = client.create(kinds.RUNTIME, "", document).document["metadata"]
        return _Declared(is_added=True, created_uid=metadata["uid"], created_generation=metadata["generation"])

    def patch_for(current: Document) -> Document | None:
        versions = list(current.get("spec", {}).get("versions", ()))
        spec: Document = {} if version in versions else {"versions": [*versions, version]}
        spec |= {"registry": registry} if registry and current["spec"].get("registry") != registry else {}
        return {"spec": spec} if spec else None

    client.change(kinds.RUNTIME, "", name, patch_for)
    return _Declared(is_added=version not in before.get("spec", {}).get("versions", ()))


def _take_back(client: Client, name: str, version: str, declared: _Declared) -> str:
    """Undo what this command declared and nobody has changed since; return what was done, for a person."""
    if not declared.is_added:
        return ""
    try:
        now = client.get(kinds.RUNTIME, "", name)
        if _is_as_created(now, declared):
            revision = now["metadata"]["resourceVersion"]
            client.delete(kinds.RUNTIME, "", name, uid=declared.created_uid, resource_version=revision)
            return f"runtime {name} is not declared any more"
        client.change(kinds.RUNTIME, "", name, lambda current: _without(current, version))
    except NotFound:
        return ""
    except Conflict:
        return f"it is still declared: rnx runtime remove {name} takes it back"
    return f"runtime {name} does not ask for {version} any more"


def _is_as_created(runtime: Document, declared: _Declared) -> bool:
    metadata = runtime["metadata"]
    return (metadata["uid"], metadata["generation"]) == (declared.created_uid, declared.created_generation)


def _without(runtime: Document, version: str) -> Document | None:
    versions = list(runtime["spec"].get("versions", ()))
    return {"spec": {"versions": [each for each in versions if each != version]}} if version in versions else None


def _registry_name(client: Client, text: str) -> str:
    """Return the Registry that `text` names; one of that address is declared if there is none."""
    if not text or "/" not in text:
        if text:
            client.get(kinds.REGISTRY, "", text)
        return text
    for item in client.list(kinds.REGISTRY)["items"]:
        if item["spec"].get("url") == text:
            return str(item["metadata"]["name"])
    name = "-".join(filter(None, "".join(c if c.isalnum() else "-" for c in text.lower()).split("-")))[:63].strip("-")
    document = {"apiVersion": API_VERSION, "kind": "Registry", "metadata": {"name": name}, "spec": {"url": text}}
    client.create(kinds.REGISTRY, "", document)
    note(f"Registry {name} declared for {text}")
    return name


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
                f"timed out waiting for runtime {name}: {why + ': ' if why else ''}"
                f"rnx describe runtime/{name} says how far it is"
            ) from None
    return found or {}


def _give_up_if_hopeless(runtime: Document, name: str, version: str) -> None:
    """Raise CommandFailed if what failed cannot come right by itself."""
    if not _is_observed(runtime) or _held_up_by(runtime, version):
        return
    reason, message = words.readiness(runtime)
    one = words.version_of(runtime, version)
    if one.get("state") != "Failed" and (reason not in _HOPELESS or one.get("state") == "Installing"):
        return
    is_known = _is_about(runtime, version)
    reason = reason if is_known else ""
    text = ": ".join(filter(None, (f"cannot install {name}@{version}", reason, one.get("message") or message)))
    raise (_Hopeless if reason == "RuntimeNotFound" else CommandFailed)(text)


def _held_up_by(runtime: Document, version: str) -> str:
    """Return what keeps the version back that may pass by itself; nothing if nothing does."""
    reason, message = words.readiness(runtime)
    if not _is_observed(runtime) or reason not in _PASSING or not _is_about(runtime, version):
        return ""
    return f"{reason}: {words.version_of(runtime, version).get('message') or message}"


def _is_observed(runtime: Document) -> bool:
    return bool(runtime.get("status", {}).get("observedGeneration", 0) >= runtime["metadata"].get("generation", 1))


def _is_about(runtime: Document, version: str) -> bool:
    """Say whether Ready's reason is this version's: with several versions it is that of the first that failed."""
    said = words.version_of(runtime, version).get("message")
    return runtime["spec"].get("versions") == [version] or bool(said and words.readiness(runtime)[1].startswith(said))


def drop(connection: Connection, runtime: Document, version: str | None, timeout: float | None) -> None:
    """Take `version`, or all of it, out of what is wanted, and wait until it is gone."""
    client, name = connection.client, runtime["metadata"]["name"]
    declared = runtime["spec"].get("versions") or []
    if version is not None and version not in declared:
        known = ", ".join(declared) or "none"
        raise CommandFailed(
            f"cannot remove {name}@{version}: what is declared is {known}: remove that, or edit the Runtime"
        )
    if version is None or declared == [version]:
        delete_and_wait(connection, [("", Target(kinds.RUNTIME, name))], Options(timeout_seconds=timeout, quiet=True))
        return

    client.change(kinds.RUNTIME, "", name, lambda current: _without(current, version))

    def is_gone(now: Document | None) -> bool:
        return now is None or not words.version_of(now, version)

    wait_for(client, kinds.RUNTIME, "", name, until=is_gone, timeout_seconds=timeout)


@click.command("test", context_settings={"allow_interspersed_args": False})
@click.argument("spec", metavar="SPEC", shell_complete=complete_runtime)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND…]")
@reaching
@pass_connection
def test(connection: Connection, spec: str, command: tuple[str, ...]) -> None:
    """Run a job in a runtime to see that it works: its interpreter's version, or COMMAND."""
    wanted = words.parse(spec)
    asked = command or _question(wanted)
    document = document_of(asked, runtime=spec, max_runtime=60.0)
    document["metadata"] = {"generateName": "test-"}
    answer = connection.client.create(kinds.JOB, connection.namespace, document)
    name = str(answer.document["metadata"]["name"])
    try:
        job = follow.attached(connection.client, connection.namespace, name)
    finally:
        connection.client.delete(kinds.JOB, connection.namespace, name)
    code = follow.exit_code(job)
    if code:
        raise CommandFailed(f"runtime {spec} does not work: {' '.join(asked)} ended with {code}", exit_code=code)
    click.echo(f"Runtime {spec} works")


def _question(wanted: RuntimeSpec) -> tuple[str, ...]:
    language = wanted.language or (wanted.name or "").partition("-")[0]
    if language not in _ASK:
        raise click.UsageError(f"cannot tell how to test {wanted}: say the command: rnx runtime test {wanted} COMMAND")
    return _ASK[language]
