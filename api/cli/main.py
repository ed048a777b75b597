"""`rnx`: the table of its commands, the global flags, and the way in. Imports no command and no client."""

import sys

import click

from api.cli.connection import Connection, colours_refused, reaching
from api.cli.lazy import Lazy, LazyGroup
from api.cli.problems import exit_code_of

COMMANDS = {
    "apply": Lazy("api.cli.apply:apply", "Make objects as files say: create what is missing, change what differs."),
    "get": Lazy("api.cli.get:get", "List objects, or show single ones."),
    "describe": Lazy("api.cli.describe:describe", "Show all that matters of objects, with their events."),
    "explain": Lazy("api.cli.explain:explain", "Say why a job is where it is, or what a field means."),
    "delete": Lazy("api.cli.delete:delete", "Delete objects and wait until they are gone."),
    "logs": Lazy("api.cli.logs:logs", "Print what a job wrote."),
    "wait": Lazy("api.cli.wait:wait", "Wait until something is true of objects."),
    "events": Lazy("api.cli.events:events", "List what happened."),
    "job": Lazy("api.cli.job:job", "Run jobs and look after them."),
    "run": Lazy("api.cli.job_run:run", "The same as job run."),
    "runtime": Lazy("api.cli.runtime:runtime", "Install runtimes and look after them."),
    "registry": Lazy("api.cli.registry:registry", "Serve, sign and verify registries of runtimes."),
    "admin": Lazy("api.cli.admin:admin", "Say who may use this host's API."),
    "api-resources": Lazy("api.cli.api_resources:api_resources", "List the kinds of objects."),
    "version": Lazy("api.cli.version:version", "Print the versions of rnx and of the server."),
    "completion": Lazy("api.cli.completion:completion", "Print the shell's completion script."),
}


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@reaching
@click.pass_context
def rnx(ctx: click.Context) -> None:
    """Declare jobs and runtimes for this host, and see what becomes of them.

    \b
    Exit status: 0 done, 1 the API refused, 2 wrong usage, 3 the server cannot
    be reached, 4 not in time. `rnx job run` returns the job's own.
    """
    ctx.color = False if colours_refused() else None


def main() -> None:
    """Run rnx with the arguments of this process, and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run rnx with `arguments` and return its exit code."""
    connection = Connection()

    def command() -> None:
        rnx.main(arguments, prog_name="rnx", standalone_mode=False, obj=connection)

    try:
        return exit_code_of(command)
    finally:
        connection.close()


if __name__ == "__main__":
    main()
