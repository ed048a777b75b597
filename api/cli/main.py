"""`rnx`: the table of its commands, the global flags, and the way in. Imports no command and no client."""

import sys
from functools import partial

import click

from api.cli.connection import Connection, SeveralHosts, colours_refused, reaching
from api.cli.lazy import Lazy, LazyGroup
from api.cli.problems import exit_code_of, open_closed_streams
from api.version import VERSION

_WITHOUT_VALUE = ("-h", "--help", "--version")
COMMANDS = {
    "apply": Lazy("api.cli.apply:apply", "Make objects as files say: create what is missing, change what differs."),
    "diff": Lazy("api.cli.diff:diff", "Show what apply would change."),
    "create": Lazy("api.cli.create:create", "Make a job from a CronJob, to run now."),
    "get": Lazy("api.cli.get:get", "List objects, or show single ones."),
    "describe": Lazy("api.cli.describe:describe", "Show all that matters of objects, with their events."),
    "explain": Lazy("api.cli.explain:explain", "Say why a job is where it is, or what a field means."),
    "label": Lazy("api.cli.label:label", "Set and remove labels of objects."),
    "annotate": Lazy("api.cli.label:annotate", "Set and remove annotations of objects."),
    "edit": Lazy("api.cli.edit:edit", "Change an object in an editor."),
    "patch": Lazy("api.cli.patch:patch", "Change single fields of objects."),
    "delete": Lazy("api.cli.delete:delete", "Delete objects and wait until they are gone."),
    "logs": Lazy("api.cli.logs:logs", "Print what a job wrote."),
    "exec": Lazy("api.cli.exec:exec_", "Execute a command in a running job."),
    "attach": Lazy("api.cli.attach:attach", "Copy what a running job prints, from now on; with -i, give it input."),
    "cp": Lazy("api.cli.cp:copy", "Copy files into and out of running jobs."),
    "top": Lazy("api.cli.top:top", "Show what running jobs use."),
    "cordon": Lazy("api.cli.cordon:cordon", "Let no further run begin on the host."),
    "uncordon": Lazy("api.cli.cordon:uncordon", "Let runs begin on the host again."),
    "drain": Lazy("api.cli.cordon:drain", "Let no further run begin on the host, and end those that run."),
    "wait": Lazy("api.cli.wait:wait", "Wait until something is true of objects."),
    "events": Lazy("api.cli.events:events", "List what happened."),
    "job": Lazy("api.cli.job:job", "Run jobs and look after them."),
    "run": Lazy("api.cli.job_run:run", "The same as job run."),
    "workflow": Lazy("api.cli.workflow:workflow", "Run workflows and look after them."),
    "runtime": Lazy("api.cli.runtime:runtime", "Install runtimes and look after them."),
    "network": Lazy("api.cli.network:network", "Make networks for jobs, and look after them."),
    "registry": Lazy("api.cli.registry:registry", "Serve, sign and verify registries of runtimes."),
    "volume": Lazy("api.cli.volume:volume", "Make volumes and look after them."),
    "admin": Lazy("api.cli.admin:admin", "Say who may use this host's API."),
    "api-resources": Lazy("api.cli.api_resources:api_resources", "List the kinds of objects."),
    "config": Lazy("api.cli.config:config", "Show what ~/.rnx/config.yaml says, and what it may say."),
    "monitor": Lazy("api.cli.monitor:monitor", "Show how the host is."),
    "config-help": Lazy("api.cli.config:config_help", "Show what ~/.rnx/config.yaml may say."),
    "nodes": Lazy("api.cli.config:nodes", "List hosts, as get nodes does."),
    "version": Lazy("api.cli.version:version", "Print the versions of rnx and of the server."),
    "completion": Lazy("api.cli.completion:completion", "Print the shell's completion script."),
}


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, "--version", prog_name="rnx", help="Print the version of rnx.")
@reaching
@click.pass_context
def rnx(ctx: click.Context) -> None:
    """Declare jobs and runtimes for this host, and see what becomes of them.

    \b
    Exit status: 0 done, 1 the API refused, 2 wrong usage, 3 the server cannot
    be reached, 4 not in time. `rnx job run` returns the job's own. Of several
    hosts: 5 done on some of them, else the highest.
    --json may stand here too, for the command that follows.
    """
    ctx.color = False if colours_refused() else None


def main() -> None:
    """Run rnx with the arguments of this process, and exit."""
    open_closed_streams()
    # httpx imports a command line of its own where it finds one, with pygments and rich: two fifths of its import.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # None: import fails, which httpx is ready for.
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str], connection: Connection | None = None) -> int:
    """Run rnx with `arguments` and return its exit code."""
    arguments = _json_where_it_belongs(arguments)
    connection = connection or Connection()

    def command() -> None:
        try:
            rnx.main(arguments, prog_name="rnx", standalone_mode=False, obj=connection)
        except SeveralHosts as hosts:
            from api.cli import several

            def run_one(words: list[str], *, is_rehearsal: bool = False) -> int:
                return run(words, connection.one_of_several(is_rehearsal=is_rehearsal))

            code = several.rehearse(hosts, arguments, partial(run_one, is_rehearsal=True))
            raise click.exceptions.Exit(code or several.ask(hosts, arguments, run_one)) from hosts

    try:
        return exit_code_of(command)
    finally:
        connection.close()


def _json_where_it_belongs(arguments: list[str]) -> list[str]:
    """Return the arguments with a `--json` that stands before the command after the words of the command instead."""
    words = list(arguments)
    group: click.Command | None = rnx
    place, is_asked = 0, False
    while place < len(words) and isinstance(group, LazyGroup):
        word = words[place]
        if word == "--json":
            is_asked = True
            del words[place]
        elif word.startswith("-"):
            place += 1 if "=" in word or word in _WITHOUT_VALUE else 2
        else:
            group = group.table[word].load() if word in group.table else None
            place += 1
    return [*words[:place], "--json", *words[place:]] if is_asked and group is not rnx else words


if __name__ == "__main__":
    main()
