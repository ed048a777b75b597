import errno

import pytest

from controller.linux.capabilities import Capability
from controller.sandbox import seccomp, syscalls
from controller.sandbox.seccomp import AnyBit, NoneOf, OneOf, Policy, Refuse
from support.bpf import decode, evaluate

MACHINES = syscalls.MACHINES
PROGRAMS = {machine: seccomp.default_program(machine) for machine in MACHINES}
EPERM, ENOSYS = str(errno.EPERM), str(errno.ENOSYS)
EAFNOSUPPORT, EPROTONOSUPPORT = str(errno.EAFNOSUPPORT), str(errno.EPROTONOSUPPORT)

_FORBIDDEN = (
    "mount umount2 pivot_root chroot move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick mount_setattr "
    "keyctl add_key request_key bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register "
    "kexec_load kexec_file_load init_module finit_module delete_module clock_settime clock_adjtime adjtimex "
    "settimeofday reboot swapon swapoff acct quotactl quotactl_fd syslog ptrace process_vm_readv process_vm_writev "
    "process_madvise pidfd_getfd kcmp open_by_handle_at name_to_handle_at lookup_dcookie nfsservctl setns unshare "
    "sethostname setdomainname get_mempolicy mbind set_mempolicy memfd_secret vhangup iopl ioperm modify_ldt uselib ustat sysfs fanotify_init move_pages migrate_pages"
)
FORBIDDEN = _FORBIDDEN.split()


def ask(name, machine="x86_64", arguments=()):
    return str(evaluate(PROGRAMS[machine], syscalls.numbers(machine)[name], machine, arguments))


@pytest.mark.parametrize("machine", MACHINES)
def test_every_number_gets_the_answer_of_the_policy(machine):
    policy, names = seccomp.STRICT, {number: name for name, number in syscalls.numbers(machine).items()}
    harmless = {"socket": (1,), "socketpair": (1,)}
    wrong = []
    for number in range(1024):
        name = names.get(number)
        if name in policy.allowed or name in policy.checked:
            expected = "allow"
        else:
            expected = ENOSYS if name is None or name in policy.absent else EPERM
        answer = str(evaluate(PROGRAMS[machine], number, machine, harmless.get(name, ())))
        if answer != expected:
            wrong.append((number, name, answer, expected))

    assert wrong == []


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_reaches_out_of_a_sandbox_is_refused(name, machine):
    if name in syscalls.numbers(machine):
        assert ask(name, machine) == EPERM
    else:
        assert name not in seccomp.STRICT.allowed


@pytest.mark.parametrize("machine", MACHINES)
def test_clone3_looks_missing_so_that_the_c_library_uses_clone(machine):
    assert ask("clone3", machine) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("other", ["x86_64", "aarch64", "i386"])
@pytest.mark.parametrize("number", [0, 1, 64, 435, 0xFFFFFFFF])
def test_a_call_by_another_machines_convention_kills(machine, other, number):
    answer = str(evaluate(PROGRAMS[machine], number, other))

    assert (answer == "kill") == (other != machine)


@pytest.mark.parametrize("number", [0x40000000, 0x40000001, 0x40000000 + 520, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE])
def test_an_x32_call_kills(number):
    assert str(evaluate(PROGRAMS["x86_64"], number)) == "kill"


@pytest.mark.parametrize("machine", MACHINES)
def test_the_number_minus_one_is_no_call_at_all(machine):
    assert str(evaluate(PROGRAMS[machine], -1, machine)) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("bit", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
def test_clone_makes_no_namespace(machine, bit):
    assert ask("clone", machine, (bit | 17,)) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("flags", [17, 0x3D0F00, 0x01200011, 0x4111, 0x80000000 | 17])
def test_clone_makes_threads_and_processes(machine, flags):
    # 0x3D0F00 is what pthread_create passes, 0x01200011 fork, 0x4111 vfork; the last has CLONE_IO.
    assert ask("clone", machine, (flags,)) == "allow"


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "arguments, answer",
    [
        ((1, 1, 0), "allow"),
        ((2, 1, 6), "allow"),
        ((10, 2, 17), "allow"),
        ((16, 3, 0), "allow"),
        ((16, 3, 12), EPROTONOSUPPORT),
        ((16, 3, 9), EPROTONOSUPPORT),
        ((17, 3, 0), EAFNOSUPPORT),
        ((38, 5, 0), EAFNOSUPPORT),
        ((40, 1, 0), EAFNOSUPPORT),
        ((0, 1, 0), EAFNOSUPPORT),
        ((-1, 1, 0), EAFNOSUPPORT),
    ],
    ids=str,
)
def test_sockets_are_unix_internet_or_routes(machine, arguments, answer):
    assert ask("socket", machine, arguments) == answer


@pytest.mark.parametrize("junk", [0x1_0000_0000, 0xFFFF_FFFF_0000_0000])
def test_the_high_half_of_an_argument_hides_nothing(junk):
    # CVE-2019-10063: the kernel takes an int, so a comparison of 64 bits would be passed by.
    assert ask("ioctl", arguments=(0, junk | 0x5412)) == EPERM
    assert ask("clone", arguments=(junk | 0x10000011,)) == EPERM
    assert ask("socket", arguments=(junk | 40,)) == EAFNOSUPPORT


@pytest.mark.parametrize(
    "request_number, answer", [(0x5412, EPERM), (0x541C, EPERM), (0x5401, "allow"), (0x5413, "allow")]
)
def test_characters_are_not_pushed_into_terminals(request_number, answer):
    assert ask("ioctl", arguments=(0, request_number)) == answer


@pytest.mark.parametrize(
    "persona, answer",
    [
        (0, "allow"),
        (0xFFFFFFFF, "allow"),
        (8, EPERM),
        (0x20008, EPERM),
        (0x40000, EPERM),
        (0x400000, EPERM),
        (5, EPERM),
    ],
)
def test_only_harmless_personalities_are_taken_on(persona, answer):
    assert ask("personality", arguments=(persona,)) == answer


@pytest.mark.parametrize("machine", MACHINES)
def test_a_call_takes_few_steps(machine):
    steps = [evaluate(PROGRAMS[machine], number, machine, (1,)).steps for number in range(512)]

    assert max(steps) <= 24
    assert sum(steps) / len(steps) <= 12


@pytest.mark.parametrize("machine", MACHINES)
def test_the_program_is_one_that_the_kernel_takes(machine):
    instructions = decode(PROGRAMS[machine])

    assert len(instructions) <= 4096
    for at, (code, if_true, if_false, constant) in enumerate(instructions):
        reach = constant if code == 0x05 else max(if_true, if_false) if code in (0x15, 0x35, 0x45) else 0
        assert code == 0x06 or at + 1 + reach < len(instructions)


def test_branches_too_far_for_a_byte_still_arrive():
    names = sorted(syscalls.numbers("x86_64"), key=syscalls.numbers("x86_64").__getitem__)
    checked = {
        name: (Refuse(order % 4000 + 1, (OneOf(0, (7, 9)), NoneOf(1, (1, 2, 3)), AnyBit(2, 6))),)
        for order, name in enumerate(names)
    }
    program = seccomp.compile_policy(Policy(frozenset(), checked, frozenset()), "x86_64")

    assert any(code == 0x05 for code, *_ in decode(program))
    for order, name in enumerate(names):
        number = syscalls.numbers("x86_64")[name]
        assert str(evaluate(program, number, arguments=(9, 4, 2))) == str(order % 4000 + 1)
        for arguments in [(8, 4, 2), (7, 2, 2), (7, 4, 9)]:
            assert str(evaluate(program, number, arguments=arguments)) == "allow"


def test_a_name_that_no_machine_has_is_refused():
    with pytest.raises(ValueError, match="no machine has opennat: correct the names"):
        seccomp.compile_policy(Policy(frozenset({"read", "opennat"}), {}, frozenset()), "x86_64")


def test_no_call_is_both_allowed_and_something_else():
    policy = seccomp.STRICT

    assert policy.allowed.isdisjoint(policy.checked)
    assert policy.allowed.isdisjoint(policy.absent)
    assert policy.allowed.isdisjoint(FORBIDDEN)


def test_a_program_for_an_unknown_machine_is_refused():
    with pytest.raises(ValueError, match="on riscv64"):
        seccomp.default_program("riscv64")


def test_no_internet_protocol_loads_a_module():
    for family in (2, 10):
        for kind, protocol in ((1, 132), (6, 33), (1, 262), (2, 115), (3, 255)):
            assert ask("socket", arguments=(family, kind, protocol)) == EPROTONOSUPPORT
        for kind, protocol in ((1, 0), (1, 6), (2, 17), (2, 1), (2, 58)):
            assert ask("socket", arguments=(family, kind, protocol)) == "allow"


BASELINE = seccomp.compile_policy(seccomp.BASELINE, "x86_64")
_STILL_FORBIDDEN = sorted(set(FORBIDDEN) - seccomp.BASELINE.allowed)


def ask_baseline(name, *arguments):
    return str(evaluate(BASELINE, syscalls.numbers("x86_64")[name], "x86_64", arguments))


@pytest.mark.parametrize("name", [name for name in _STILL_FORBIDDEN if name in syscalls.numbers("x86_64")])
def test_baseline_refuses_it_too(name):
    assert ask_baseline(name) == EPERM


def test_baseline_allows_what_strict_does_and_debuggers_and_asynchronous_io_besides():
    assert seccomp.BASELINE.allowed - seccomp.STRICT.allowed == {
        *("adjtimex", "clock_adjtime", "fanotify_mark", "memfd_secret", "modify_ldt", "name_to_handle_at"),
        *("io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit"),
        *("process_vm_readv", "process_vm_writev", "ptrace"),
    }
    assert seccomp.BASELINE.allowed >= seccomp.STRICT.allowed
    assert [ask_baseline("ptrace"), ask_baseline("personality", 8), ask_baseline("socket", 17, 3, 0)] == ["allow"] * 3


def test_baseline_reaches_no_hypervisor_makes_no_namespace_and_types_into_no_terminal():
    assert ask_baseline("socket", 40, 1, 0) == EAFNOSUPPORT
    assert ask_baseline("clone", 0x10000000) == EPERM
    assert ask_baseline("clone3") == ENOSYS
    assert ask_baseline("ioctl", 0, 0x5412, 0) == EPERM
    assert ask_baseline("personality", 0x400000) == EPERM


def test_a_capability_brings_the_calls_that_it_is_for():
    number = syscalls.numbers("x86_64")["chroot"]
    without = seccomp.program_for("strict", frozenset({Capability.CHOWN}), "x86_64")
    program = seccomp.program_for("strict", frozenset({Capability.SYS_CHROOT}), "x86_64")

    assert without == seccomp.default_program("x86_64")
    assert str(evaluate(program, number, "x86_64", ())) == "allow"


def test_a_profile_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="cannot filter system calls by the profile 'loose': use strict or baseline"):
        seccomp.program_for("loose", frozenset(), "x86_64")


CORE, FILES, ADDRESS, HIGH_ADDRESS = 4, 7, 0x7FFF_0000_1000, 0x5_0000_0000
LIMITS = [
    ("setrlimit", (CORE, ADDRESS), "0"),
    ("setrlimit", (CORE, 0), "0"),
    ("setrlimit", (CORE | 1 << 32, ADDRESS), "0"),  # The kernel takes an unsigned int there.
    ("setrlimit", (FILES, ADDRESS), "allow"),
    ("prlimit64", (0, CORE, ADDRESS, 0), "0"),
    ("prlimit64", (7, CORE, HIGH_ADDRESS, 0), "0"),
    ("prlimit64", (0, CORE, 8, 0), "0"),
    ("prlimit64", (0, CORE, ADDRESS, ADDRESS), EPERM),
    ("prlimit64", (0, CORE, HIGH_ADDRESS, HIGH_ADDRESS), EPERM),
    ("prlimit64", (0, CORE, 0, ADDRESS), "allow"),
    ("prlimit64", (0, CORE, 0, 0), "allow"),
    ("prlimit64", (0, FILES, ADDRESS, ADDRESS), "allow"),
]


@pytest.mark.parametrize("machine", syscalls.MACHINES)
@pytest.mark.parametrize("profile", seccomp.PROFILES)
@pytest.mark.parametrize(("name", "arguments", "answer"), LIMITS)
def test_the_limit_of_core_files_is_said_to_be_set_and_is_not(machine, profile, name, arguments, answer):
    program = seccomp.program_for(profile, frozenset(), machine)

    assert str(evaluate(program, syscalls.numbers(machine)[name], machine, arguments)) == answer


def test_a_run_that_leaves_cores_may_set_their_limit():
    program = seccomp.program_for("strict", frozenset(), "x86_64", leaves_cores=True)
    numbers = syscalls.numbers("x86_64")

    answers = [str(evaluate(program, numbers[name], "x86_64", arguments)) for name, arguments, _ in LIMITS]
    assert answers == ["allow"] * len(LIMITS)
