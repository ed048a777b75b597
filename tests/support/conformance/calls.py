"""What system calls are refused: by name, by argument, by socket family, by convention."""

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import socket
import struct

from harness import LIBC, MACHINE, NUMBERS, add, call_refused, dies_of, errno_of, holds, is_, refused, status, syscall

GROUP = "system calls"
AGAIN = ctypes.c_char_p(bytes(64))

# Each with arguments that would do it, or fail otherwise than EPERM, for who may.
_REFUSED = {
    "acct": (0,), "add_key": (ctypes.c_char_p(b"user"), ctypes.c_char_p(b"x"), AGAIN, 1, -2), "adjtimex": (ctypes.create_string_buffer(208),),
    "afs_syscall": (), "bpf": (0, AGAIN, 48), "chroot": (ctypes.c_char_p(b"/"),), "clock_adjtime": (0, ctypes.create_string_buffer(208)),
    "clock_settime": (0, ctypes.c_char_p(struct.pack("qq", 1, 0))), "create_module": (AGAIN, 1), "delete_module": (ctypes.c_char_p(b"x"), 0),
    "fanotify_init": (0, 0), "fanotify_mark": (-1, 1, 0, 0, 0), "finit_module": (0, AGAIN, 0), "fsconfig": (-1, 0, 0, 0, 0), "fsmount": (-1, 0, 0),
    "fsopen": (ctypes.c_char_p(b"tmpfs"), 0), "fspick": (-100, ctypes.c_char_p(b"/"), 0), "get_kernel_syms": (0,), "get_mempolicy": (0, 0, 0, 0, 0),
    "init_module": (AGAIN, 8, AGAIN), "io_uring_enter": (-1, 0, 0, 0, 0, 0), "io_uring_register": (-1, 0, 0, 0), "io_uring_setup": (1, ctypes.create_string_buffer(120)),
    "ioperm": (0x80, 1, 0), "iopl": (0,), "kcmp": (os.getpid(), os.getpid(), 0, 0, 0), "kexec_file_load": (-1, -1, 0, 0, 0), "kexec_load": (0, 0, 0, 0),
    "keyctl": (0, -3, 0, 0, 0), "listmount": (AGAIN, 0, 0, 0), "lookup_dcookie": (0, AGAIN, 8), "mbind": (0, 4096, 0, 0, 0, 0), "memfd_secret": (0,),
    "migrate_pages": (0, 1, AGAIN, AGAIN), "modify_ldt": (0, AGAIN, 8), "mount": (ctypes.c_char_p(b"none"), ctypes.c_char_p(b"/tmp"), ctypes.c_char_p(b"tmpfs"), 0, 0),
    "mount_setattr": (-100, ctypes.c_char_p(b"/"), 0, AGAIN, 32), "move_mount": (-100, ctypes.c_char_p(b"/tmp"), -100, ctypes.c_char_p(b"/work"), 0),
    "move_pages": (0, 0, 0, 0, 0, 0), "name_to_handle_at": (-100, ctypes.c_char_p(b"/"), ctypes.create_string_buffer(struct.pack("I", 128), 160), AGAIN, 0),
    "nfsservctl": (0, 0, 0), "open_by_handle_at": (-100, AGAIN, 0), "open_tree": (-100, ctypes.c_char_p(b"/"), 1), "open_tree_attr": (-100, ctypes.c_char_p(b"/"), 1, AGAIN, 32),
    "perf_event_open": (ctypes.c_char_p(struct.pack("IIQ", 1, 112, 0) + bytes(96)), 0, -1, -1, 0), "pidfd_getfd": (-1, 0, 0), "pivot_root": (ctypes.c_char_p(b"/"), ctypes.c_char_p(b"/")),
    "process_madvise": (-1, 0, 0, 0, 0), "process_vm_readv": (os.getpid(), 0, 0, 0, 0, 0), "process_vm_writev": (os.getpid(), 0, 0, 0, 0, 0), "ptrace": (0, 0, 0, 0),
    "query_module": (0, 0, 0, 0, 0), "quotactl": (0, 0, 0, 0), "quotactl_fd": (-1, 0, 0, 0), "reboot": (0, 0, 0, 0), "request_key": (ctypes.c_char_p(b"user"), ctypes.c_char_p(b"x"), 0, 0),
    "set_mempolicy": (0, 0, 0), "set_mempolicy_home_node": (0, 0, 0, 0), "setdomainname": (ctypes.c_char_p(b"x"), 1), "sethostname": (ctypes.c_char_p(b"x"), 1), "setns": (0, 0),
    "statmount": (AGAIN, AGAIN, 64, 0), "swapoff": (ctypes.c_char_p(b"/x"),), "swapon": (ctypes.c_char_p(b"/x"), 0), "sysfs": (3,), "syslog": (10, 0, 0), "umount2": (ctypes.c_char_p(b"/tmp"), 2),
    "uselib": (ctypes.c_char_p(b"/x"),), "userfaultfd": (1,), "ustat": (0, AGAIN), "vhangup": (), "vserver": (), "_sysctl": (0,), "lsm_set_self_attr": (0, AGAIN, 8, 0),
}  # fmt: skip
for _name, _arguments in sorted(_REFUSED.items()):
    add(GROUP, f"{_name} is refused", call_refused(_name, *_arguments))

_NAMESPACES = {
    "mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000, "pid": 0x20000000, "network": 0x40000000, "time": 0x80,
}  # fmt: skip
for _name, _flag in _NAMESPACES.items():
    add(GROUP, f"no new {_name} namespace by unshare", call_refused("unshare", _flag))
    if _name != "time":
        add(GROUP, f"no new {_name} namespace by clone", call_refused("clone", _flag | signal.SIGCHLD, 0, 0, 0, 0))
add(
    GROUP,
    "clone3 is as if absent, since no filter sees its flags",
    call_refused("clone3", AGAIN, 64, wanted=(errno.ENOSYS,)),
)
add(
    GROUP,
    "calls that no table knows are as if absent",
    lambda: [refused(syscall(number, 0, 0), errno.ENOSYS) for number in (600, 5000)].count(None) == 2 and None,
)
for _kind in ("mnt", "net", "pid", "user", "uts", "ipc", "cgroup"):

    def _enter(kind=_kind):
        fd = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)
        try:
            return refused(syscall(NUMBERS["setns"], fd, 0), errno.EPERM)
        finally:
            os.close(fd)

    add(GROUP, f"no {_kind} namespace can be entered", _enter)

add(GROUP, "a filter is loaded", lambda: is_(status()["Seccomp"].strip(), "2"))
add(GROUP, "it is one filter", lambda: is_(status().get("Seccomp_filters", "1").strip(), "1"))


def _machine_code(code):
    """Run some machine code."""
    area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(code)
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(area)))()


if MACHINE == "x86_64":
    _INT80 = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20 (getpid of 32 bits); int 0x80; ret
    add(GROUP, "a 32-bit call ends the process", lambda: dies_of(lambda: _machine_code(_INT80)))
    add(GROUP, "an x32 call ends the process", lambda: dies_of(lambda: syscall(0x40000000 | NUMBERS["getpid"])))

for _value, _name in (
    (0x40000, "without address randomization"),
    (0x400000, "with readable memory executable"),
    (0x8, "of 32 bits"),
    (0x100000, "that maps page zero"),
    (0x20000, "of an older kernel"),
):
    add(GROUP, f"no personality {_name}", call_refused("personality", _value))

_FAMILIES = {
    "APPLETALK": 5, "X25": 9, "KEY": 15, "PACKET": 17, "RDS": 21, "LLC": 26, "IB": 27, "CAN": 29, "TIPC": 30, "BLUETOOTH": 31, "IUCV": 32, "RXRPC": 33, "PHONET": 35,
    "IEEE802154": 36, "ALG": 38, "NFC": 39, "VSOCK": 40, "KCM": 41, "QIPCRTR": 42, "SMC": 43, "XDP": 44, "MCTP": 45, "AX25": 3, "IPX": 4, "NETROM": 6, "ATMPVC": 8, "ROSE": 11,
}  # fmt: skip


def _family(number):
    def question():
        seen = {errno_of(socket.socket, number, kind, 0) for kind in (1, 2, 3, 5)}
        return None if seen == {errno.EAFNOSUPPORT} else str(seen)

    return question


for _name, _number in _FAMILIES.items():
    add(GROUP, f"no socket of AF_{_name}", _family(_number))
for _name, _protocol in {
    "sock_diag": 4,
    "xfrm": 6,
    "selinux": 7,
    "audit": 9,
    "connector": 11,
    "netfilter": 12,
    "uevents": 15,
    "generic": 16,
    "rdma": 20,
    "crypto": 21,
}.items():
    add(
        GROUP,
        f"no netlink of {_name}",
        lambda p=_protocol: refused(
            errno_of(socket.socket, 16, 3, p), errno.EPROTONOSUPPORT, errno.EPERM, errno.EAFNOSUPPORT
        ),
    )
for _name, _protocol in {"SCTP": 132, "DCCP": 33, "UDPLITE": 136, "L2TP": 115, "MPTCP": 262}.items():
    add(
        GROUP,
        f"no internet socket of {_name}, which would load a module",
        lambda p=_protocol: refused(
            errno_of(socket.socket, 2, 1 if p in (132, 262) else 2, p), errno.EPROTONOSUPPORT, errno.EPERM
        ),
    )


def _terminal(request, argument):
    def question():
        master, slave = os.openpty()
        try:
            return refused(errno_of(fcntl.ioctl, slave, request, argument), errno.EPERM, errno.EACCES)
        finally:
            os.close(master)
            os.close(slave)

    return question


add(GROUP, "TIOCSTI: nothing can be typed into a terminal", _terminal(0x5412, b"x"))
add(GROUP, "TIOCLINUX: nothing can be pasted on a console", _terminal(0x541C, b"\x03"))


@holds(GROUP, "high bits of an argument do not get around a test of it")
def _high_bits():
    master, slave = os.openpty()
    seen = syscall(NUMBERS["ioctl"], slave, (1 << 32) | 0x5412, ctypes.c_char_p(b"x"))
    os.close(master)
    os.close(slave)
    return refused(seen, errno.EPERM, errno.EACCES)


@holds(GROUP, "the filter cannot be taken off")
def _seccomp_off():
    return is_(LIBC.prctl(22, ctypes.c_ulong(0), 0, 0, 0), -1)


@holds(GROUP, "ordinary calls work: threads, processes, pipes, terminals, timers, shared memory")
def _ordinary():
    import multiprocessing.pool
    import subprocess
    import threading

    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    subprocess.run(["/bin/sh", "-c", "true"], check=True)
    master, slave = os.openpty()
    os.close(master)
    os.close(slave)
    with multiprocessing.Pool(1) as pool:
        return is_(pool.apply(abs, (-1,)), 1)
