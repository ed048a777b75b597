"""The page "Coming from Joblet" has every command and flag that the documents name, and speaks of none that is not."""

import re
import shlex
from pathlib import Path

import click
import pytest

from api.cli.main import rnx

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/how-to/coming-from-joblet.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("| `")]
COMMANDS = [
    line for line in (Path(__file__).parent / "commands.txt").read_text().splitlines() if line.startswith("rnx ")
]
FLAGS = [
    "--schedule",
    "--max-cpu",
    "--max-memory",
    "--max-iobps",
    "--cpu-cores",
    "--upload",
    "--upload-dir",
    "--network",
    "--volume",
    "--runtime",
    "--env",
    "-e",
    "--secret-env",
    "-s",
    "--gpu",
    "--gpu-memory",
    "--config",
    "--node",
    "--json",
    "--",
    "--timeout",
    "--memory",
    "--max-runtime",
    "--size",
    "--type",
    "--cidr",
    "--registry",
    "--github-repo",
    "--force",
    "--detail",
    "--interval",
    "--filter",
    "--compact",
    "--version",
]
"""Of the documents and of Joblet's own command line."""
OTHERS = """
job list,job status,job log,job metrics,job stop,job cancel,job delete,job delete-all,workflow run,workflow list,
workflow status,volume create,volume list,volume remove,network create,network list,network remove,runtime list,
runtime info,runtime install,runtime test,runtime validate,runtime remove,monitor status,monitor top,monitor watch,
nodes,version,config-help
""".replace("\n", "").split(",")


def words_of(command):
    """Return the words of a command's name, and its flags before the job's own command begins."""
    words = shlex.split(command)[1:]
    flags = []
    names = []
    for word in words:
        if word.startswith("--"):
            flags.append(word.partition("=")[0])
        elif flags or len(names) == 2 or (names and names[0] == "run"):
            break
        else:
            names.append(word)
    return " ".join(names), flags


def found(path):
    """Return the command of rnx with these words."""
    command: click.Command | None = rnx
    for word in path:
        assert isinstance(command, click.Group), path
        command = command.get_command(click.Context(command), word)
        assert command is not None, path
    return command


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_flag_of_the_documents_is_on_the_page(command):
    name, flags = words_of(command)
    of_joblet = " ".join(row[0] for row in ROWS)

    assert f"`rnx {name}" in of_joblet
    assert [flag for flag in flags if not re.search(rf"{flag}[=`,]", of_joblet)] == []


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_that_joblet_has_is_on_the_page(flag):
    assert [row for row in ROWS if re.search(rf"(?<![\w-]){re.escape(flag)}(?=[=`, ])", row[0])]


@pytest.mark.parametrize("name", OTHERS)
def test_every_command_that_joblet_has_is_on_the_page_and_here(name):
    assert [row for row in ROWS if f"`rnx {name}" in row[0]]
    assert found(name.split())


@pytest.mark.parametrize("row", [row for row in ROWS if len(row) == 3 and row[1]], ids=lambda row: row[0])
def test_what_the_page_says_there_is_here_is_here(row):
    for said in re.findall(r"`([^`]+)`", row[1]):
        words = said.split()
        path = words[1 : next((at for at, word in enumerate(words) if word.startswith("-")), len(words))]
        command = found(path) if words[0] == "rnx" else found(["job", "run"])
        flags = [word for word in words if word.startswith("-") and word != "--"]
        known = {option for parameter in command.params for option in parameter.opts}
        assert [flag for flag in flags if flag not in known] == []
