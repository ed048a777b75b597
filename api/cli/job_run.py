"""`rnx job run`: flags and a command line become a Job; then its output and its exit code become ours.

The first word that is no flag begins the command; everything after it is the job's, `-h` too.
"""

import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import click

from api.cli import (
    before_run,
    job_defaults,
    job_network,
    job_requests,
    job_secrets,
    limits,
    many_runs,
    network,
    refused_flags,
    schedules,
    sending,
    uploads,
)
from api.cli.completing import complete_job, complete_runtime, complete_volume
from api.cli.connection import Connection, pass_connection, reaching_but_for_s
from api.cli.flag_types import Read, Whole
from api.cli.output import note, show_json, show_yaml
from api.cli.problems import CommandFailed
from api.client_transport import Answer
from api.errors import Invalid
from api.meta import API_VERSION, Document
from api.types.job import OUTPUT_ANNOTATION, WHOLE_OUTPUT


def _refuse_gpu_memory(ctx: click.Context, _: click.Parameter, value: Any) -> None:
    if value:
        why = "a job gets whole GPUs, all memory of each: leave it out, and say --gpu=N"
        raise click.UsageError(f"--gpu-memory is not supported: {why}", ctx)


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
    "--artifact",
    "artifact",
    multiple=True,
    metavar="PATTERN",
    help="Keep files of /work that match, such as 'out/**/*.csv', for rnx job download. May be repeated.",
)
@click.option(
    "-w",
    "--workdir",
    default="",
    metavar="PATH",
    help="Where the command starts, in the sandbox; a relative one is below /work. Default: /work.",
)
@click.option(
    "--max-memory",
    "--memory",
    type=Read(limits.memory, "memory"),
    metavar="MB",
    help="Most memory: 512 is 512Mi; 2Gi, 1.5G.",
)
@click.option("--max-cpu", "--cpu", type=Read(limits.cpu, "cpu"), metavar="CORES", help="Most cpu: 4, 0.5, 150%, 500m.")
@click.option(
    "--max-disk",
    type=Read(limits.disk, "disk"),
    metavar="MB",
    help="Size of /work, uploads included: 512 is 512Mi; 10Gi.",
)
@click.option(
    "--cpu-cores",
    type=Read(limits.cpu_set, "CPUs"),
    metavar="CPUS",
    help="The only CPUs it runs on: 0-3, or 1,3,5.",
)
@click.option(
    "--max-iobps",
    type=Read(limits.io_rate, "bytes"),
    metavar="BYTES",
    help="Most bytes read, and most written, of each disk in a second: 10485760 is 10Mi.",
)
@click.option(
    "--max-runtime",
    type=Read(limits.runtime_seconds, "seconds"),
    metavar="SECONDS",
    help="Most time: 3600, 90s, 1h30m. Then it is stopped; exit status 124.",
)
@click.option(
    "-e",
    "--env",
    "env",
    multiple=True,
    type=Read(limits.env, "env"),
    metavar="KEY=VALUE",
    help="Set an environment variable. May be repeated.",
)
@click.option(
    "--volume",
    "volume",
    multiple=True,
    type=Read(limits.volume, "volume"),
    metavar="NAME[:PATH][:ro]",
    shell_complete=complete_volume,
    help="Show it this volume at /volumes/NAME, or at PATH; ro to read only. One that is not there is made, with the "
    "host's default size. May be repeated.",
)
@click.option("--gpu", type=Read(limits.gpus, "count"), metavar="N", help="Give it N whole NVIDIA GPUs, for itself.")
@click.option(
    "--device",
    "device",
    multiple=True,
    type=Read(limits.device, "devices"),
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
@click.option(
    "--after",
    "after",
    multiple=True,
    type=Read(limits.after, "job"),
    metavar="JOB[:CONDITION]",
    shell_complete=complete_job,
    help="Run it once this job has completed, or, with :Failed or :Finished, has failed or ended. May be repeated.",
)
@click.option("--name", default="", metavar="NAME", help="The job's name; by default run- and five characters.")
@click.option(
    "--backoff-limit",
    type=Whole(0, 1000),
    default=0,
    show_default=True,
    metavar="N",
    help="Retries after a failure.",
)
@click.option("--completions", type=Whole(0, 100_000), metavar="N", help="Run it until this many runs have succeeded.")
@click.option("--parallelism", type=Whole(0, 1_000), metavar="N", help="Run up to N at a time.")
@click.option(
    "--indexed", is_flag=True, help="Give each of --completions runs an index from 0 on, in JOB_COMPLETION_INDEX."
)
@click.option(
    "--ttl",
    type=Read(limits.runtime_seconds, "seconds"),
    metavar="SECONDS",
    help="Delete the job this long after its end.",
)
@click.option(
    "--wait-timeout",
    type=Read(limits.runtime_seconds, "duration"),
    metavar="DURATION",
    help="Stop it if it does not run after this long, as when its runtime does not come; default: never.",
)
@click.option(
    "-i", "--stdin", is_flag=True, help="Pass standard input on; with --detach, rnx attach -i does. It ends with that."
)
@click.option(
    "--schedule",
    type=Read(lambda text: schedules.parse(text, datetime.now(UTC)), "start"),
    metavar="WHEN",
    help="Start it later: in 30s, 5min, 2h30m or 1d, or at 2026-12-31T23:59, which is local time unless it ends in Z "
    "or +01:00. It is not waited for.",
)
@click.option("-d", "--detach", is_flag=True, help="Print the job's name and leave it running.")
@click.option(
    "--dry-run", is_flag=True, help="Print the Job that would be made, as YAML or with --json as JSON; make none."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the job as JSON at its end, or at its start with --detach."
)
@job_network.options
@click.option("--gpu-memory", hidden=True, expose_value=False, callback=_refuse_gpu_memory)
@job_secrets.flag
@job_requests.flags
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARGUMENT…]")
@reaching_but_for_s
@pass_connection
def run(
    connection: Connection, /, command: tuple[str, ...], *, detach: bool, dry_run: bool, as_json: bool,
    wait_timeout: float | None, **flags: Any,
) -> None:  # fmt: skip
    """Run a command in a sandbox, print what it prints, and exit as it exits.

    \b
    rnx job run --runtime=python-3.11-ml --upload=train.py python train.py
    rnx job run --max-memory=512 --max-cpu=1.5 -- sh -c 'echo $HOME'

    \b
    Exit status: the command's own; 125 it was refused or cannot run here, 124
    its time was up, 4 it did not run within --wait-timeout, 130 interrupted,
    after stopping the job. Of rnx itself: 2 wrong usage, 3 no server.
    """
    schedule = flags["schedule"]
    _check_waiting(wait_timeout, "--schedule" if schedule else "--detach" if detach else "", flags["parallelism"])
    document = document_of(command, **job_defaults.added_to(flags, connection.config))
    _warn_of_links(flags["upload_dir"], document)
    if dry_run:
        (show_json if as_json else show_yaml)(_with_digests(sending.named, document))
        return
    if not (detach or schedule):
        connection.only_one_host("wait for a job")
        if not (as_json or sys.stdout.isatty()):
            document["metadata"]["annotations"] = {OUTPUT_ANNOTATION: WHOLE_OUTPUT}
    with before_run.ending_with_125():
        network.check_known(connection, document["spec"].get("network"))
        before_run.check(connection, document, is_waited_for=not (detach or schedule))
        answer = _create(connection, document, dict(flags["secret_env"]))
    name = str(answer.document["metadata"]["name"])
    for warning in answer.warnings:
        note(f"Warning: {warning}")
    if detach or (schedule and as_json):
        show_json(answer.document) if as_json else click.echo(name)
        return
    if schedule:
        click.echo("\n".join(schedules.lines(answer.document, schedule, shlex.join(command))))
        return
    from api.cli import follow

    follow.announce(answer.document)
    ended = follow.attached(
        connection.client, connection.namespace, name, quiet=as_json, wait_seconds=wait_timeout,
        takes_input=bool(flags["stdin"]),
    )  # fmt: skip
    if as_json:
        show_json(ended)
    if code := follow.exit_code(ended):
        raise CommandFailed(exit_code=code)


def _warn_of_links(directories: tuple[str, ...], document: Document) -> None:
    for text in uploads.unlinked(directories, document["spec"].get("files", ())):
        note(f"Warning: {text}")


def _create(connection: Connection, document: Document, secret: dict[str, str]) -> Answer:
    client, namespace = connection.client, connection.namespace
    document = _with_digests(lambda local: sending.send(client, namespace, local), document)
    try:
        return job_secrets.create(client, namespace, document, secret)
    except Invalid as error:
        raise refused_flags.as_usage(error, document) from error


def _with_digests(of_files: Callable[[Document], Document], document: Document) -> Document:
    try:
        return of_files(document)
    except uploads.BadUpload as error:
        raise CommandFailed(str(error)) from error


def _check_waiting(seconds: float | None, given: str, parallelism: int | None) -> None:
    if given and seconds is not None:
        raise click.UsageError(f"--wait-timeout is for a job that is waited for: leave it out, or {given}")
    if parallelism == 0 and not given:
        raise click.UsageError("--parallelism=0 begins no run before it is raised: add --detach, not to wait for it")


def document_of(
    command: tuple[str, ...], *, runtime: str = "", upload: tuple[str, ...] = (), upload_dir: tuple[str, ...] = (),
    artifact: tuple[str, ...] = (), workdir: str = "",
    max_memory: str | None = None, max_cpu: str | None = None, max_disk: str | None = None,
    cpu_cores: str | None = None, max_iobps: str | None = None, max_runtime: float | None = None,
    env: tuple[tuple[str, str], ...] = (), name: str = "", backoff_limit: int = 0, ttl: float | None = None,
    gpu: tuple[str, int] | None = None, device: tuple[tuple[str, int], ...] = (),
    security_profile: str | None = None, cap_add: tuple[str, ...] = (), schedule: schedules.Schedule | None = None,
    after: tuple[dict[str, str], ...] = (), stdin: bool = False, volume: tuple[tuple[str, str, bool], ...] = (),
    network: str = "", alias: tuple[str, ...] = (), publish: tuple[Document, ...] = (),
    completions: int | None = None, parallelism: int | None = None, indexed: bool = False,
    request_cpu: str | None = None, request_memory: str | None = None, request_disk: str | None = None,
    priority: str = "", secret_env: tuple[tuple[str, str], ...] = (),
    egress: tuple[str, ...] = (), ingress: tuple[str, ...] = (), max_receive: str = "", max_send: str = "",
) -> Document:  # fmt: skip
    """Return the Job that the flags describe. Raises UsageError, before anything is sent."""
    spec: Document = {"command": list(command), "backoffLimit": backoff_limit}
    spec |= many_runs.fields(completions, parallelism, indexed=indexed, takes_input=stdin)
    spec |= {"runtime": _checked_runtime(runtime)} if runtime else {}
    variables = [*_variables(env, secret_env), *job_secrets.variables(secret_env, name)]
    spec |= {"env": variables} if variables else {}
    try:
        files = uploads.files_of(upload, upload_dir)
    except uploads.BadUpload as error:
        raise click.UsageError(str(error)) from error
    spec |= {"files": files} if files else {}
    spec |= {"artifacts": list(artifact)} if artifact else {}
    spec |= {"workingDir": str(PurePosixPath("/work", workdir))} if workdir else {}
    spec |= {"volumeMounts": _volumes(volume)} if volume else {}
    sizes = (("memory", max_memory), ("cpu", max_cpu), ("ephemeral-storage", max_disk))
    wanted: Document = {key: value for key, value in sizes if value is not None}
    wanted |= _devices((gpu, *device) if gpu else device)
    wanted |= {"io": {"readBytesPerSecond": max_iobps, "writeBytesPerSecond": max_iobps}} if max_iobps else {}
    resources = job_requests.requests(request_cpu, request_memory, request_disk)
    resources |= ({"limits": wanted} if wanted else {}) | ({"cpuSet": cpu_cores} if cpu_cores else {})
    spec |= {"resources": resources} if resources else {}
    spec |= {"priorityClassName": priority} if priority else {}
    spec |= {"securityProfile": security_profile} if security_profile else {}
    spec |= {"securityContext": {"capabilities": {"add": list(cap_add)}}} if cap_add else {}
    spec |= job_network.wanted(network, alias, publish, egress, ingress, max_receive, max_send)
    spec |= {"activeDeadlineSeconds": max_runtime} if max_runtime is not None else {}
    spec |= {"ttlSecondsAfterFinished": round(ttl)} if ttl is not None else {}
    spec |= {"stdin": True, "stdinOnce": True} if stdin else {}
    spec |= {"startAt": schedule.start_at} if schedule else {}
    spec |= {"after": list(after)} if after else {}
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


def _volumes(wanted: tuple[tuple[str, str, bool], ...]) -> list[Document]:
    """Return the mounts; who says the same twice means it once, as the documents' commands do."""
    return [
        {"name": name} | ({"mountPath": path} if path else {}) | ({"readOnly": True} if read_only else {})
        for name, path, read_only in dict.fromkeys(wanted)
    ]


def _variables(env: tuple[tuple[str, str], ...], secret_env: tuple[tuple[str, str], ...]) -> list[Document]:
    names = [name for name, _ in (*env, *secret_env)]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        flag = "--env" if repeated in dict(env) else "--secret-env"
        raise click.UsageError(f"{flag} {repeated} is given twice: give it once")
    return [{"name": name, "value": value} for name, value in env]
