"""Flags that take a whole number take plain digits, everywhere."""

from collections.abc import Iterator

import click
import pytest

from api.cli.main import rnx
from api.cli.whole_numbers import WholeNumber


def options_of(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Parameter]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        below = click.Context(command, info_name=name, parent=context)
        yield from ((f"{below.command_path} {param.opts[0]}", param) for param in command.params)
        if isinstance(command, click.Group):
            yield from options_of(command, below)


@pytest.mark.parametrize("text", ["٣", "1_0", " 3", "3 ", "+3", "²", "３", "3.0", "0x3", "", "-", "1e3", "९९"])
def test_what_is_not_plain_digits_is_refused_as_click_says_it(text):
    with pytest.raises(click.BadParameter) as error:
        WholeNumber(min=0).convert(text, None, None)

    assert error.value.message == f"{text!r} is not a valid integer range."


@pytest.mark.parametrize(("text", "number"), [("3", 3), ("007", 7), ("-1", -1), ("0", 0), (5, 5)])
def test_plain_digits_are_the_number(text, number):
    assert WholeNumber(min=-1, max=7).convert(text, None, None) == number


@pytest.mark.parametrize("text", ["-2", "8"])
def test_what_is_out_of_the_range_is_refused(text):
    with pytest.raises(click.BadParameter, match="is not in the range"):
        WholeNumber(min=-1, max=7).convert(text, None, None)


def test_every_flag_that_takes_a_number_takes_this_one():
    numbers = {
        name: param.type
        for name, param in options_of(rnx, click.Context(rnx, info_name="rnx"))
        if isinstance(param.type, click.types._NumberParamTypeBase) and not getattr(param, "count", False)
    }

    assert {"rnx logs --tail", "rnx job run --parallelism", "rnx delete --grace-period"} <= set(numbers)
    assert [name for name, type_ in numbers.items() if not isinstance(type_, WholeNumber)] == []


@pytest.mark.parametrize("flag", ["--tail", "--attempt", "--index"])
def test_a_command_says_which_flag_it_was(rnx, flag):
    said = rnx("logs", "etl", flag, "٣")

    assert (said.code, f"Invalid value for '{flag}': '٣' is not a valid integer range." in said.err) == (2, True)
