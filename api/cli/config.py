"""`rnx config`: what the person's file says and may say; and `rnx nodes`, the documents' word for hosts."""

import click
import yaml

from api.cli.client_config import Host, JobDefaults
from api.cli.connection import CONFIG_FILES, Connection, pass_connection, reaching
from api.cli.get import get
from api.cli.output import note, show_columns, show_json

_EXAMPLE = """\
current-host: build1
hosts:
  build1: https://build1:6443
  build2: {kubeconfig: ~/build2.kubeconfig, namespace: data}
  here: {root: /srv/trial}
aliases: {ml: python-3.11-ml@1.3.2}
default_runtime: python-3.11@latest
jobs: {defaults: {cpu_cores: 2, memory_mb: 4096, timeout_minutes: 60}}
runtimes:
  registries: [{name: company, url: https://example.com/registry.json}]
"""
_HELP = f"""Show what ~/.rnx/config.yaml says: which hosts there are, and which is spoken to.

\b
{_EXAMPLE}"""


@click.command("config", help=_HELP)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@reaching
@pass_connection
def config(connection: Connection, *, as_json: bool) -> None:
    """Show what the person's file says."""
    found = connection.config
    current = connection.host or found.current_host
    if as_json:
        hosts = {
            name: {"address": _address(connection, name), "namespace": host.namespace}
            for name, host in found.hosts.items()
        }
        where = {"file": found.path, "currentHost": current, "namespace": found.namespace, "hosts": hosts}
        named = {"aliases": dict(found.aliases), "registries": dict(found.registries)}
        show_json({**where, **named, "jobs": {"defaults": _defaults(found.jobs)}})
        return
    if not found.path:
        note(f"There is no {CONFIG_FILES[0]}: commands speak to {connection.address}")
        return
    note(f"{found.path}:")
    rows = [
        ["*" if name == current else "", name, f"{_address(connection, name)}{_in_namespace(host)}"]
        for name, host in found.hosts.items()
    ]
    rows += [["", "namespace", found.namespace]] if found.namespace else []
    rows += [["", f"alias {name}", text] for name, text in found.aliases.items()]
    rows += [["", f"registry {name}", text] for name, text in found.registries.items()]
    rows += [
        ["", f"jobs.defaults.{name}", f"{value:g}s" if isinstance(value, float) else value]
        for name, value in _defaults(found.jobs).items()
    ]
    show_columns([["CURRENT", "NAME", "MEANS"], *rows])


def _in_namespace(host: Host) -> str:
    return f", namespace {host.namespace}" if host.namespace else ""


def _defaults(jobs: JobDefaults) -> dict[str, str | float]:
    """Return what `rnx job run` gives a job that no flag says otherwise of, by the flag's field of a Job."""
    of = {"runtime": jobs.runtime, "cpu": jobs.cpu, "memory": jobs.memory, "activeDeadlineSeconds": jobs.seconds}
    return {name: value for name, value in of.items() if value}


def _address(connection: Connection, name: str) -> str:
    from api.client_transport import BadAddress

    try:
        return str(connection.config.host(name).address())
    except BadAddress as error:
        return str(error)


@click.command("config-help")
@click.option("--json", "as_json", is_flag=True, help="As JSON: where the file may be, and one that says all it may.")
@click.pass_context
def config_help(ctx: click.Context, *, as_json: bool) -> None:
    """Show what ~/.rnx/config.yaml may say, as `rnx config --help` does."""
    if as_json:
        show_json({"files": list(CONFIG_FILES), "example": yaml.safe_load(_EXAMPLE)})
        return
    with click.Context(config, parent=ctx.parent, info_name="config") as context:
        click.echo(config.get_help(context))


@click.command("nodes")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@reaching
@click.pass_context
def nodes(ctx: click.Context, *, as_json: bool) -> None:
    """List hosts, as get nodes does."""
    ctx.invoke(get, words=("nodes",), output="json" if as_json else "")
