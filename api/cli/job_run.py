"""`rnx job run`: flags and a command line become a Job; then its output and its exit code become ours.

The first word that is no flag begins the command; everything after it is the job's, `-h` too.
"""

import shlex
from collections.abc import Callable
from typing import Any

import click

from api import kinds
from api.cli import limits, refused_flags, uploads
from api.cli.completing import complete_runtime
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.output import note, show_json
from api.cli.problems import CommandFailed
from api.errors import Invalid
from api.meta import API_VERSION, Document

_MISSING = {
    "volume": "volumes", "schedule": "start times",
    "gpu-memory": "shares of GPUs (a job gets whole ones)", "secret-env": "secrets",
}  # fmt: skip


class _Read(click.ParamType[Any]):
    """A flag's value, read by a function that raises ValueError with the fix."""

    def __init__(self, read: Callable[[str], Any], name: str) -> None:
        self.read, self.name = read, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what the text means, or fail with how to write it."""
        try:
            return self.read(value) if isinstance(value, str) else value
        except ValueError as error:
            if param is None:
                return self.fail(str(error), param, ctx)
            flag = next((name for name in param.opts if name.startswith("--")), param.opts[0])
            raise click.UsageError(f"{flag}: {error}", ctx) from error


def _refuse(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value:
        name = (param.name or "").replace("_", "-")
        raise click.UsageError(
            f"--{name} is not supported yet: runwright has no {_MISSING[name]} so far: leave it out", ctx
        )


def _check_network(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value not in (None, "none"):
        what = "a job has its own loopback only, and no other network"
        raise click.UsageError(
            f"--network={value} is not supported yet: {what}: leave it out, or say --network=none", ctx
        )


def _not_yet(command: Any) -> Any:
    for name in _MISSING:
        command = click.option(f"--{name}", multiple=True, hidden=True, expose_value=False, callback=_refuse)(command)
    return command


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.option(
    "--runtime",
    default="",
    metavar="SPEC",
    shell_complete=complete_runtime,
    help="python-3.11-ml, python-3.11-ml@1.3.2 or python:3.11+ml; without one the host's programs are used.",
)
@click.option(
    "--upload",
    "upload",
    multiple=True,
    metavar="FILE",
    type=click.Path(),
    help="Put this file into /work. May be repeated.",
)
@click.option(
    "--upload-dir",
    "upload_dir",
    multiple=True,
    metavar="DIR",
    type=click.Path(),
    help="Put what this directory holds into /work, where DIR is found too. May be repeated.",
)
@click.option(
    "--max-memory",
    "--memory",
    type=_Read(limits.memory, "memory"),
    metavar="MB",
    help="Most memory: 512 is 512Mi; 2Gi, 1.5G.",
)
@click.option(
    "--max-cpu", "--cpu", type=_Read(limits.cpu, "cpu"), metavar="CORES", help="Most cpu: 4, 0.5, 150%, 500m."
)
@click.option(
    "--cpu-cores",
    type=_Read(limits.cpu_set, "CPUs"),
    metavar="CPUS",
    help="The only CPUs it runs on: 0-3, or 1,3,5.",
)
@click.option(
    "--max-iobps",
    type=_Read(limits.io_rate, "bytes"),
    metavar="BYTES",
    help="Most bytes read, and most written, of each disk in a second: 10485760 is 10Mi.",
)
@click.option(
    "--max-runtime",
    type=_Read(limits.runtime_seconds, "seconds"),
    metavar="SECONDS",
    help="Most time: 3600, 90s, 1h30m. Then it is stopped; exit status 124.",
)
@click.option(
    "-e",
    "--env",
    "env",
    multiple=True,
    type=_Read(limits.env, "env"),
    metavar="KEY=VALUE",
    help="Set an environment variable. May be repeated.",
)
@click.option("--gpu", type=_Read(limits.gpus, "count"), metavar="N", help="Give it N whole NVIDIA GPUs, for itself.")
@click.option(
    "--device",
    "device",
    multiple=True,
    type=_Read(limits.device, "devices"),
    metavar="VENDOR/CLASS=N",
    help="Give it N devices of a kind that CDI specs of the host declare, for itself. May be repeated.",
)
@click.option(
    "--security-profile",
    type=click.Choice(["strict", "baseline"]),
    help="The system calls that it may make: baseline has those of Docker's default profile, where the policy lets it.",
)
@click.option(
    "--cap-add",
    multiple=True,
    metavar="NAME",
    help="Give it a capability in its own user namespace, such as NET_BIND_SERVICE, where the policy lets it. "
    "May be repeated.",
)
@click.option("--name", default="", metavar="NAME", help="The job's name; by default run- and five characters.")
@click.option(
    "--backoff-limit",
    type=click.IntRange(0, 1000),
    default=0,
    show_default=True,
    metavar="N",
    help="Retries after a failure.",
)
@click.option(
    "--ttl",
    type=_Read(limits.runtime_seconds, "seconds"),
    metavar="SECONDS",
    help="Delete the job this long after its end.",
)
@click.option(
    "--wait-timeout",
    type=_Read(limits.runtime_seconds, "duration"),
    metavar="DURATION",
    help="Stop it if it does not run after this long, as when its runtime does not come; default: never.",
)
@click.option("-d", "--detach", is_flag=True, help="Print the job's name and leave it running.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the job as JSON at its end, or at its start with --detach."
)
@click.option("--network", metavar="NAME", hidden=True, expose_value=False, callback=_check_network)
@_not_yet
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARGUMENT…]")
@reaching
@pass_connection
def run(
    connection: Connection, /, command: tuple[str, ...], *, detach: bool, as_json: bool, wait_timeout: float | None,
    **flags: Any,
) -> None:  # fmt: skip
    """Run a command in a sandbox, print what it prints, and exit as it exits.

    \b
    rnx job run --runtime=python-3.11-ml --upload=train.py python train.py
    rnx job run --max-memory=512 --max-cpu=1.5 -- sh -c 'echo $HOME'

    \b
    Exit status: the command's own; 4 it did not run within --wait-timeout, 124
    its time was up, 125 it could not be run at all, 130 interrupted, after
    stopping the job.
    """
    if detach and wait_timeout is not None:
        raise click.UsageError("--wait-timeout is for a job that is waited for: leave it out, or --detach")
    document = document_of(command, **flags)
    try:
        answer = connection.client.create(kinds.JOB, connection.namespace, document)
    except Invalid as error:
        raise refused_flags.as_usage(error, document) from error
    name = str(answer.document["metadata"]["name"])
    for warning in answer.warnings:
        note(f"Warning: {warning}")
    if detach:
        show_json(answer.document) if as_json else click.echo(name)
        return
    from api.cli import follow

    follow.announce(answer.document)
    ended = follow.attached(connection.client, connection.namespace, name, quiet=as_json, wait_seconds=wait_timeout)
    if as_json:
        show_json(ended)
    code = follow.exit_code(ended)
    if code:
        raise CommandFailed(exit_code=code)


def document_of(
    command: tuple[str, ...], *, runtime: str = "", upload: tuple[str, ...] = (), upload_dir: tuple[str, ...] = (),
    max_memory: str | None = None, max_cpu: str | None = None, cpu_cores: str | None = None,
    max_iobps: str | None = None, max_runtime: float | None = None,
    env: tuple[tuple[str, str], ...] = (), name: str = "", backoff_limit: int = 0, ttl: float | None = None,
    gpu: tuple[str, int] | None = None, device: tuple[tuple[str, int], ...] = (),
    security_profile: str | None = None, cap_add: tuple[str, ...] = (),
) -> Document:  # fmt: skip
    """Return the Job that the flags describe. Raises UsageError, before anything is sent."""
    spec: Document = {"command": list(command), "backoffLimit": backoff_limit}
    spec |= {"runtime": _checked_runtime(runtime)} if runtime else {}
    spec |= {"env": _variables(env)} if env else {}
    try:
        files = uploads.files_of(upload, upload_dir)
    except uploads.BadUpload as error:
        raise click.UsageError(str(error)) from error
    spec |= {"files": files} if files else {}
    wanted: Document = {key: value for key, value in (("memory", max_memory), ("cpu", max_cpu)) if value is not None}
    wanted |= _devices((gpu, *device) if gpu else device)
    wanted |= {"io": {"readBytesPerSecond": max_iobps, "writeBytesPerSecond": max_iobps}} if max_iobps else {}
    resources = ({"limits": wanted} if wanted else {}) | ({"cpuSet": cpu_cores} if cpu_cores else {})
    spec |= {"resources": resources} if resources else {}
    spec |= {"securityProfile": security_profile} if security_profile else {}
    spec |= {"securityContext": {"capabilities": {"add": list(cap_add)}}} if cap_add else {}
    spec |= {"activeDeadlineSeconds": max_runtime} if max_runtime is not None else {}
    spec |= {"ttlSecondsAfterFinished": round(ttl)} if ttl is not None else {}
    metadata = {"name": name} if name else {"generateName": "run-"}
    return {"apiVersion": API_VERSION, "kind": "Job", "metadata": metadata, "spec": spec}


def _checked_runtime(text: str) -> str:
    from api import runtime_spec

    try:
        runtime_spec.parse(text)
    except ValueError as error:
        raise click.UsageError(f"--runtime: {error}") from error
    return text


def _devices(wanted: tuple[tuple[str, int], ...]) -> dict[str, int]:
    kinds_ = [kind for kind, _ in wanted]
    if repeated := next((kind for kind in kinds_ if kinds_.count(kind) > 1), None):
        raise click.UsageError(f"devices of {repeated} are asked for twice: ask for them once, by --gpu or --device")
    return dict(wanted)


def _variables(env: tuple[tuple[str, str], ...]) -> list[Document]:
    names = [name for name, _ in env]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise click.UsageError(f"--env {repeated} is given twice: give it once")
    return [{"name": name, "value": value} for name, value in env]


def command_line(document: Document) -> str:
    """Return a job's command as one would type it."""
    spec = document.get("spec", {})
    return shlex.join([*spec.get("command", ()), *spec.get("args", ())])
