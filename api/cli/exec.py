"""`rnx exec`: a command in a run of a job, as confined as the job."""

import sys

import click

from api.cli import run_targets, streaming
from api.cli.completing import complete_job
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.flag_types import Whole
from api.cli.output import note
from api.cli.problems import CommandFailed


@click.command("exec")
@click.argument("word", metavar="JOB | job/NAME | pod/NAME", shell_complete=complete_job)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND…")
@click.option("-i", "--stdin", "takes_input", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", "terminal", is_flag=True, help="Give it a terminal.")
@click.option("--attempt", type=Whole(1), metavar="N", help="The N-th run; by default the running one.")
@run_targets.of_index
@reaching
@pass_connection
def exec_(
    connection: Connection,
    *,
    word: str,
    command: tuple[str, ...],
    takes_input: bool,
    terminal: bool,
    attempt: int | None,
    index: int | None,
) -> None:
    """Execute a command in a job's run, and exit as it exits.

    It has the job's files, limits, network and environment, and no more rights than the job. It ends when rnx
    does, and with the job; how it ends changes nothing about the job. It neither sees the job's processes nor can
    signal them: rnx job stop does.
    """
    connection.only_one_host("execute a command")
    if terminal and not (takes_input and streaming.is_terminal()):
        if takes_input:
            note("standard input is no terminal: the command is given none")
        terminal = terminal and not takes_input
    run = run_targets.find(connection, word, attempt, index)
    with connection.client.execute(
        run.namespace, run.pod, command, takes_input=takes_input, terminal=terminal
    ) as stream:
        code = streaming.converse(stream, takes_input=takes_input, is_terminal=terminal and takes_input)
    sys.stdout.flush()
    if code:
        raise CommandFailed(exit_code=code)
