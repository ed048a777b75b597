"""Which system calls a run may make: the policies as data, and their compiler to a seccomp program. Pure.

A policy is a list of what is allowed. What it does not name is refused with EPERM; a number that
no table knows is answered with ENOSYS, as a kernel without that call would, so that the C library
falls back. A call by another machine's convention (32-bit, x32) ends the process.
Invariant: nothing that could reach a mount, a namespace, a kernel module, a key, the clock or process 1's
memory is on a list. Loading the program is `controller.linux.process.load_seccomp`.
"""

import errno
from collections.abc import Mapping
from dataclasses import dataclass, replace
from struct import Struct

from controller.linux.capabilities import Capability
from controller.sandbox import syscalls


@dataclass(frozen=True, slots=True)
class OneOf:
    """Holds if the argument is one of `values`. Only the low 32 bits are looked at: the kernel takes an int there."""

    argument: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    """Holds if the argument is none of `values`; its low 32 bits, as in `OneOf`."""

    argument: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnyBit:
    """Holds if the argument has one of the bits of `mask`; its low 32 bits, as in `OneOf`."""

    argument: int
    mask: int


@dataclass(frozen=True, slots=True)
class NotNull:
    """Holds if the argument, which is an address, is any but null; all its 64 bits."""

    argument: int


Test = OneOf | NoneOf | AnyBit | NotNull


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answers `error` if every test in `when` holds; 0 is to say that it was done, when it was not."""

    error: int
    when: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed, what is allowed unless its arguments say otherwise, and what is as if it did not exist."""

    allowed: frozenset[str]
    checked: Mapping[str, tuple[Refuse, ...]]
    absent: frozenset[str]


_ALLOWED = """
accept accept4 access alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_getres
clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr file_getattr file_setattr
flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv
futex_wake futimesat get_robust_list getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups
getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage
getsid getsockname getsockopt gettid gettimeofday getuid getxattr getxattrat inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch ioprio_get ioprio_set
kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr
listxattrat llistxattr lremovexattr lseek lsetxattr lsm_get_self_attr lsm_list_modules lstat madvise map_shadow_stack
membarrier mincore mkdir mkdirat mlock mlock2 mlockall mprotect
mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync
munlock munlockall munmap nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 process_mrelease pselect6 pwrite64
pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr
removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask
rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
semtimedop sendfile sendmmsg sendmsg sendto set_robust_list set_tid_address setfsgid setfsuid setgid
setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setsid setsockopt setuid
setxattr setxattrat shmat shmctl shmdt shutdown sigaltstack signalfd signalfd4 splice stat statfs statx symlink
symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat uretprobe
utime utimensat utimes vfork vmsplice wait4 waitid write writev
"""

# Refused with EPERM, for the record; the compiler needs no list of them. Beyond what changes the host
# or its clock: ptrace, process_vm_*, pidfd_getfd, kcmp and process_madvise reach into other processes,
# and process 1 of a run is our own supervisor (its credentials guard it; this is the second lock);
# chroot and setns undo a root; modify_ldt, userfaultfd, io_uring_* and perf_event_open have been the
# way into the kernel more often than ordinary programs need them; so have families of sockets whose modules
# the kernel loads for whoever names them.

_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_NETLINK_ROUTE = 0
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_ASKS_ONLY = 0xFFFFFFFF
_PER_LINUX, _PER_LINUX32, _UNAME26 = 0x0, 0x8, 0x20000
_AF_VSOCK = 40
_IP, _ICMP, _TCP, _UDP, _ICMPV6 = 0, 1, 6, 17, 58

_FAMILIES = Refuse(errno.EAFNOSUPPORT, (NoneOf(0, (_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK)),))
# Of netlink only the table of addresses and routes, which C libraries read; not netfilter and its like.
_NETLINKS = Refuse(errno.EPROTONOSUPPORT, (OneOf(0, (_AF_NETLINK,)), NoneOf(2, (_NETLINK_ROUTE,))))
# Of the internet none that is a module of its own: SCTP, DCCP, L2TP, MPTCP; nor by a type alone, which brings them too.
_INTERNETS = Refuse(
    errno.EPROTONOSUPPORT, (OneOf(0, (_AF_INET, _AF_INET6)), NoneOf(2, (_IP, _ICMP, _TCP, _UDP, _ICMPV6)))
)
_SOCK_TYPES, _SOCK_FLAGS = (1, 2, 3), (0, 0x800, 0x80000, 0x80800)  # Stream, datagram, raw; NONBLOCK and CLOEXEC.
_INTERNET_TYPES = Refuse(
    errno.EPROTONOSUPPORT,
    (OneOf(0, (_AF_INET, _AF_INET6)), NoneOf(1, tuple(kind | flag for flag in _SOCK_FLAGS for kind in _SOCK_TYPES))),
)
_NO_VSOCK = Refuse(errno.EAFNOSUPPORT, (OneOf(0, (_AF_VSOCK,)),))  # To the hypervisor, past every network namespace.
_CLONE = (Refuse(errno.EPERM, (AnyBit(0, _NEW_NAMESPACES),)),)
# Characters pushed into a terminal are commands to whoever reads it next: CVE-2017-5226, CVE-2023-28339.
# Nor is a terminal given another line discipline, nor a bridge or a VLAN asked for the old way: for whoever does,
# rights or none, the kernel loads the module and goes into its code: CVE-2017-2636, CVE-2020-14416, CVE-2023-6546.
_MODULES_BY_IOCTL = (0x5423, 0x8940, 0x8941, 0x8982, 0x8983, 0x89A0, 0x89A1)
# TIOCSETD, SIOCGIFBR, SIOCSIFBR, SIOCGIFVLAN, SIOCSIFVLAN, SIOCBRADDBR, SIOCBRDELBR.
# Nor is the host's disk told: FS_IOC_GETFSUUID, FS_IOC_GETFSSYSFSPATH.
_DISKS_BY_IOCTL = (0x80111500, 0x80811501)
_IOCTL = (
    Refuse(errno.EPERM, (OneOf(1, (_TIOCSTI, _TIOCLINUX, *_MODULES_BY_IOCTL)),)),
    Refuse(errno.ENOTTY, (OneOf(1, _DISKS_BY_IOCTL),)),
)
# Nor are devices made (S_IFCHR and S_IFBLK, and no other kind of file, have this bit): so says every later lock too.
_DEVICE_BIT = 0x2000
_MKNOD = (Refuse(errno.EPERM, (AnyBit(1, _DEVICE_BIT),)),)
_MKNODAT = (Refuse(errno.EPERM, (AnyBit(2, _DEVICE_BIT),)),)
# Huge pages are set aside by the host for somebody, and no limit of memory counts them: it is as if there were none.
_MAP_HUGETLB, _MFD_HUGETLB, _SHM_HUGETLB = 0x40000, 0x4, 0o4000
_NO_HUGE_PAGES = {
    "mmap": (Refuse(errno.ENOMEM, (AnyBit(3, _MAP_HUGETLB),)),),
    "memfd_create": (Refuse(errno.ENOMEM, (AnyBit(1, _MFD_HUGETLB),)),),
    "shmget": (Refuse(errno.ENOMEM, (AnyBit(2, _SHM_HUGETLB),)),),
}
# The limit of core files stays what it is: at 0 the kernel tells a program of the host of crashes, at 1 nobody (see
# `confine.NO_CORES`). Programs with secrets set 0, and some end if they cannot (gpg, ssh-agent): they are told that it
# was done, as what they want is so already. A call that is to return the limit of before as well is refused.
_RLIMIT_CORE = 4
_SETS_CORES = OneOf(1, (_RLIMIT_CORE,)), NotNull(2)
_CORES_ARE_LIMITED = {
    "setrlimit": (Refuse(0, (OneOf(0, (_RLIMIT_CORE,)),)),),
    "prlimit64": (Refuse(errno.EPERM, (*_SETS_CORES, NotNull(3))), Refuse(0, _SETS_CORES)),
}
# clone3 has its flags in memory, which no filter sees: the C library falls back to clone.
_ABSENT = frozenset({"clone3", "listmount", "statmount"})
# Contexts of asynchronous I/O are counted for all the host (fs.aio-max-nr): one call takes all there may be.
_AIO = frozenset({"io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit"})

STRICT = Policy(
    allowed=frozenset(_ALLOWED.split()),
    checked={
        "clone": _CLONE,
        "ioctl": _IOCTL,
        "mknod": _MKNOD,
        "mknodat": _MKNODAT,
        "personality": (Refuse(errno.EPERM, (NoneOf(0, (_PER_LINUX, _ASKS_ONLY)),)),),
        **_CORES_ARE_LIMITED,
        **_NO_HUGE_PAGES,
        "socket": (_FAMILIES, _NETLINKS, _INTERNETS, _INTERNET_TYPES),
        "socketpair": (_FAMILIES, _NETLINKS, _INTERNETS, _INTERNET_TYPES),
    },
    absent=_ABSENT | _AIO,
)

# What Docker allows a container without capabilities, and we do not: debuggers, sanitizers, 32-bit emulators.
# Source: the default profile of Docker (moby/profiles, seccomp/default.json, version 28). Of what it allows, io_uring
# (which it allowed until version 25), TIOCSTI and calls by the convention of 32 bits are still refused.
_BASELINE_MORE = """
adjtimex clock_adjtime fanotify_mark memfd_secret modify_ldt name_to_handle_at process_vm_readv process_vm_writev ptrace
"""
_BASELINE_PERSONALITIES = (_PER_LINUX, _PER_LINUX32, _UNAME26, _UNAME26 | _PER_LINUX32, _ASKS_ONLY)

BASELINE = Policy(
    allowed=STRICT.allowed | frozenset(_BASELINE_MORE.split()) | _AIO,
    checked={
        "clone": _CLONE,
        "ioctl": _IOCTL,
        "mknod": _MKNOD,
        "mknodat": _MKNODAT,
        "personality": (Refuse(errno.EPERM, (NoneOf(0, _BASELINE_PERSONALITIES),)),),
        **_CORES_ARE_LIMITED,
        **_NO_HUGE_PAGES,
        "socket": (_NO_VSOCK,),
        "socketpair": (_NO_VSOCK,),
    },
    absent=_ABSENT,
)

PROFILES: Mapping[str, Policy] = {"strict": STRICT, "baseline": BASELINE}
"""Those that a run may have, by the name that its job says."""

# For runs whose files are somebody's on the host: what is setuid or setgid there has that one's rights, whoever starts
# it. An openat2 has its mode in memory, as clone3 its flags.
_SET_IDS = 0o6000
_MAKES_A_FILE = 0o20000100  # O_CREAT, O_TMPFILE: without them, the mode is anything.
_NO_SET_IDS: Mapping[str, tuple[Refuse, ...]] = {
    **{name: (Refuse(errno.EPERM, (AnyBit(1, _SET_IDS),)),) for name in ("chmod", "creat", "fchmod")},
    **{name: (Refuse(errno.EPERM, (AnyBit(2, _SET_IDS),)),) for name in ("fchmodat", "fchmodat2")},
    "mknod": (*_MKNOD, Refuse(errno.EPERM, (AnyBit(1, _SET_IDS),))),
    "mknodat": (*_MKNODAT, Refuse(errno.EPERM, (AnyBit(2, _SET_IDS),))),
    "open": (Refuse(errno.EPERM, (AnyBit(1, _MAKES_A_FILE), AnyBit(2, _SET_IDS))),),
    "openat": (Refuse(errno.EPERM, (AnyBit(2, _MAKES_A_FILE), AnyBit(3, _SET_IDS))),),
}

# A capability is of no use where its calls are refused; all others of those that may be had need no more.
_CALLS_OF = {Capability.SYS_CHROOT: frozenset({"chroot"})}

_INSTRUCTION = Struct("=HBBI")  # struct sock_filter: code, jump if true, jump if false, constant.
_LOAD, _RETURN, _JUMP = 0x20, 0x06, 0x05
_IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT = 0x15, 0x35, 0x45
_LONGEST_BRANCH = 255
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16  # In struct seccomp_data; arguments are 64 bits, low half first.
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_FIRST, _NUMBER_LAST = 0x40000000, 0xFFFFFFFF

Instruction = tuple[int, int, int, int]
Block = tuple[Instruction, ...]

_ALLOW: Block = ((_RETURN, 0, 0, 0x7FFF0000),)
_KILL: Block = ((_RETURN, 0, 0, 0x80000000),)


def default_program(machine: str) -> bytes:
    """Return `STRICT` compiled for `machine` (as `uname -m` prints it). Keep it: compiling takes milliseconds.

    Raises:
        ValueError: there is no table for that machine.
    """
    return compile_policy(STRICT, machine)


def program_for(
    profile: str,
    capabilities: frozenset[Capability],
    machine: str,
    *,
    leaves_cores: bool = False,
    sets_ids: bool = True,
) -> bytes:
    """Return the program of a run with that profile and these capabilities, on `machine`.

    One that `leaves_cores` may lower the limit of core files, as it could without a filter. Unless it `sets_ids`, it
    can make no file setuid or setgid.

    Raises:
        ValueError: there is no such profile, or no table for that machine.
    """
    if profile not in PROFILES:
        raise ValueError(f"cannot filter system calls by the profile {profile!r}: use {' or '.join(PROFILES)}")
    policy = PROFILES[profile]
    more = frozenset[str]().union(*(_CALLS_OF.get(capability, ()) for capability in capabilities))
    if leaves_cores:
        more |= _CORES_ARE_LIMITED.keys()
    checked = {name: rules for name, rules in policy.checked.items() if name not in more}
    absent = policy.absent
    if not sets_ids:
        checked |= _NO_SET_IDS
        absent |= {"openat2"}
    return compile_policy(replace(policy, allowed=policy.allowed | more, checked=checked, absent=absent), machine)


def compile_policy(policy: Policy, machine: str) -> bytes:
    """Return the seccomp program, an array of struct sock_filter, that enforces `policy` on `machine`.

    A tree of comparisons over ranges of numbers: some eight steps a call, where a list takes hundreds
    (the kernel walks it for every number when it is loaded: 0.14 ms).

    Raises:
        ValueError: there is no table for that machine, or the policy names a call that no machine has.
    """
    table = syscalls.numbers(machine)
    _refuse_unknown_names(policy)
    blocks = {number: _block_of(policy, name) for name, number in table.items()}
    tree = _tree(_ranges(blocks, machine))
    program = (
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_IF_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        *_KILL,
        (_LOAD, 0, 0, _AT_NUMBER),
        *tree,
    )
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def _refuse_unknown_names(policy: Policy) -> None:
    known = {name for machine in syscalls.MACHINES for name in syscalls.numbers(machine)}
    unknown = (policy.allowed | policy.checked.keys() | policy.absent) - known
    if unknown:
        raise ValueError(f"cannot compile the policy: no machine has {', '.join(sorted(unknown))}: correct the names")


def _block_of(policy: Policy, name: str) -> Block:
    if name in policy.absent:
        return _answer(errno.ENOSYS)
    if name in policy.checked:
        return _check(policy.checked[name])
    return _ALLOW if name in policy.allowed else _answer(errno.EPERM)


def _answer(error: int) -> Block:
    return ((_RETURN, 0, 0, 0x00050000 | error),)


def _check(rules: tuple[Refuse, ...]) -> Block:
    """Return the code of `rules`, tried in order; if none refuses, the call is allowed."""
    code: Block = ()
    for rule in rules:
        refusal = _answer(rule.error)
        for test in reversed(rule.when):
            refusal = _test(test, skip=len(refusal)) + refusal
        code += refusal
    return code + _ALLOW


def _test(test: Test, *, skip: int) -> Block:
    """Return code that goes on behind itself if `test` holds, and otherwise `skip` instructions further."""
    load = (_LOAD, 0, 0, _AT_ARGUMENTS + 8 * test.argument)
    if isinstance(test, NotNull):
        high = (_LOAD, 0, 0, _AT_ARGUMENTS + 8 * test.argument + 4)
        return (load, (_IF_EQUAL, 0, 2, 0), high, (_IF_EQUAL, skip, 0, 0))
    if isinstance(test, AnyBit):
        return (load, (_IF_ANY_BIT, 0, skip, test.mask))
    last = len(test.values) - 1
    compare = []
    for position, value in enumerate(test.values):
        found = last - position
        if isinstance(test, OneOf):
            compare.append((_IF_EQUAL, found, skip if position == last else 0, value))
        else:
            compare.append((_IF_EQUAL, found + skip, 0, value))
    return (load, *compare)


def _ranges(blocks: Mapping[int, Block], machine: str) -> list[tuple[int, Block]]:
    """Return where each range of numbers with one answer begins, in order, the first at 0."""
    unknown = _answer(errno.ENOSYS)
    starts = dict(blocks)
    for number in blocks:
        starts.setdefault(number + 1, unknown)
    starts.setdefault(0, unknown)
    if machine == "x86_64":
        # x32 calls have this bit set. All ones is no x32 call but a tracer's way to skip one: ENOSYS.
        starts[_X32_FIRST] = _KILL
        starts[_NUMBER_LAST] = unknown
    ranges: list[tuple[int, Block]] = []
    for start in sorted(starts):
        if not ranges or ranges[-1][1] != starts[start]:
            ranges.append((start, starts[start]))
    return ranges


def _tree(ranges: list[tuple[int, Block]]) -> Block:
    """Return code that finds the range of the loaded number by halves, and runs its block."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _tree(ranges[:middle]), _tree(ranges[middle:])
    start = ranges[middle][0]
    if len(below) <= _LONGEST_BRANCH:
        return ((_IF_AT_LEAST, len(below), 0, start), *below, *above)
    # A branch reaches 255 instructions; a jump reaches everywhere.
    return ((_IF_AT_LEAST, 0, 1, start), (_JUMP, 0, 0, len(below)), *below, *above)
