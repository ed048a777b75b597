from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from api.cli import main
from api.cli.flag_types import Whole


def options_of(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Parameter]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        below = click.Context(command, info_name=name, parent=context)
        yield from ((f"{below.command_path} {param.opts[0]}", param) for param in command.params)
        if isinstance(command, click.Group):
            yield from options_of(command, below)


@click.command()
@click.option("-t", "--tail", type=Whole(-1))
@click.option("--limit", type=Whole(0, 1_000), default=6)
def command(tail, limit):
    click.echo(f"{tail} {limit}")


@pytest.mark.parametrize(
    ("words", "printed"),
    [([], "None 6"), (["-t", "-1", "--limit=1000"], "-1 1000"), (["--tail=007", "--limit", "0"], "7 0")],
)
def test_a_whole_number_within_its_limits_is_taken(words, printed):
    assert CliRunner().invoke(command, words).output == f"{printed}\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-t", "x"], '--tail: cannot take "x": use a whole number, -1 or more'),
        (["--tail=-2"], '--tail: cannot take "-2": use a whole number, -1 or more'),
        (["--tail="], '--tail: cannot take "": use a whole number, -1 or more'),
        (["--limit=1001"], '--limit: cannot take "1001": use a whole number, from 0 to 1000'),
        (["--limit=1.5"], '--limit: cannot take "1.5": use a whole number, from 0 to 1000'),
        (["--limit=+1"], '--limit: cannot take "+1": use a whole number, from 0 to 1000'),
        (["--limit=٣"], '--limit: cannot take "٣": use a whole number, from 0 to 1000'),
        (["--limit= 3"], '--limit: cannot take " 3": use a whole number, from 0 to 1000'),
        (["--limit=1_0"], '--limit: cannot take "1_0": use a whole number, from 0 to 1000'),
        (["--limit=" + "9" * 5000], "use a whole number, from 0 to 1000"),
    ],
)
def test_any_other_is_refused_with_what_to_write(words, why):
    done = CliRunner().invoke(command, words)

    assert (done.exit_code, why in done.output) == (2, True)


def test_every_flag_that_takes_a_number_takes_this_one():
    known = dict(options_of(main.rnx, click.Context(main.rnx, info_name="rnx")))
    of_click = [
        name
        for name, param in known.items()
        if isinstance(param.type, click.types._NumberParamTypeBase) and not getattr(param, "count", False)
    ]

    assert {name for name, param in known.items() if isinstance(param.type, Whole)} >= {
        "rnx logs --tail",
        "rnx job run --parallelism",
        "rnx delete --grace-period",
    }
    assert of_click == []


@pytest.mark.parametrize(
    "words",
    [
        "delete job zz --timeout=T", "wait job/zz --for=delete --timeout=T", "monitor watch --interval=T",
        "logs zz --since=T", "admin token create zz --duration=T",
    ],
)  # fmt: skip
def test_a_length_of_time_that_no_clock_counts_is_refused(rnx, words):
    said = rnx(*words.replace("T", "99999999999999999999").split())

    assert (said.code, '"99999999999999999999" is over 100000 days: name a shorter time' in said.err) == (2, True)


@pytest.mark.parametrize("flag", ["--tail", "--attempt", "--index"])
def test_a_command_says_which_flag_it_was(rnx, flag):
    said = rnx("logs", "etl", flag, "٣")

    assert (said.code, f'{flag}: cannot take "٣": use a whole number' in said.err) == (2, True)
