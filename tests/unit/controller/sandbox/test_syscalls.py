import pytest

from controller.linux import libc
from controller.sandbox import syscalls


@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_no_two_calls_share_a_number(machine):
    numbers = syscalls.numbers(machine)

    assert len(set(numbers.values())) == len(numbers) > 300


@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_the_table_agrees_with_the_numbers_we_call_ourselves(machine):
    numbers = syscalls.numbers(machine)

    assert {name: numbers[name] for name in libc._NUMBERS[machine]} == libc._NUMBERS[machine]


def test_calls_since_linux_5_1_have_one_number_everywhere():
    x86, arm = (syscalls.numbers(machine) for machine in syscalls.MACHINES)

    assert {name: number for name, number in x86.items() if number >= 424} == {
        name: number for name, number in arm.items() if number >= 424
    }


def test_a_machine_without_a_table_is_refused_by_name():
    with pytest.raises(ValueError, match="no table for it: use x86_64 or aarch64"):
        syscalls.numbers("riscv64")
