"""What of a network is there, and of the host's ipc."""

import array
import ctypes
import errno
import fcntl
import os
import socket
import struct
from pathlib import Path

from harness import FACTS, LIBC, NUMBERS, add, errno_of, holds, is_, refused, syscall, text_of

NET, IPC = "network", "ipc"
_names = lambda: [name for _, name in socket.if_nameindex()]  # noqa: E731

add(NET, "there is no device but loopback", lambda: is_(_names(), ["lo"]))
add(NET, "there is no IPv4 route", lambda: is_(text_of("/proc/net/route").splitlines()[1:], []))
add(
    NET,
    "there is no IPv6 route but loopback's",
    lambda: is_({line.split()[-1] for line in text_of("/proc/net/ipv6_route").splitlines()} - {"lo"}, set()),
)
add(NET, "no address is known of a neighbour", lambda: is_(text_of("/proc/net/arp").splitlines()[1:], []))


def _connects(family, address):
    def question():
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(2)
            return refused(
                errno_of(client.connect, address),
                errno.ECONNREFUSED,
                errno.ENETUNREACH,
                errno.ENOENT,
                errno.EHOSTUNREACH,
            )

    return question


add(NET, "the host's loopback is not this one", _connects(socket.AF_INET, ("127.0.0.1", FACTS["tcp_port"])))
add(NET, "nothing outside can be reached", _connects(socket.AF_INET, ("192.0.2.1", 80)))
add(NET, "nothing outside can be reached by IPv6", _connects(socket.AF_INET6, ("2001:db8::1", 80)))
add(NET, "no metadata service can be reached", _connects(socket.AF_INET, ("169.254.169.254", 80)))
add(NET, "abstract sockets of the host are not here", _connects(socket.AF_UNIX, "\0" + FACTS["abstract"]))
add(
    NET,
    "no unix socket of the host is listed",
    lambda: None if FACTS["abstract"] not in text_of("/proc/net/unix") else "it is",
)
add(NET, "the socket of the API is not here", _connects(socket.AF_UNIX, FACTS["api_socket"]))
add(NET, "the launcher's socket is not here", _connects(socket.AF_UNIX, FACTS["launcher_socket"]))


@holds(NET, "loopback works")
def _loopback():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.sendall(b"x")
        return is_(server.accept()[0].recv(1), b"x")


@holds(NET, "its own ports below 1024 are open")
def _low_port():
    with socket.create_server(("127.0.0.1", 80)) as server:
        return is_(server.getsockname()[1], 80)


@holds(NET, "loopback works by IPv6")
def _loopback6():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        socket.create_connection(server.getsockname()[:2]).close()


def _ioctl(request, payload):
    def question():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            return refused(errno_of(fcntl.ioctl, own, request, payload), errno.EPERM, errno.EACCES)

    return question


add(NET, "a device cannot be taken down", _ioctl(0x8914, struct.pack("16sH14x8x", b"lo", 0)))
add(NET, "a device gets no address", _ioctl(0x8916, struct.pack("16sHH4s8x8x", b"lo", 2, 0, bytes([10, 0, 0, 1]))))
add(NET, "no bridge can be made", _ioctl(0x89A0, b"br0" + bytes(13)))
add(NET, "no route can be added", _ioctl(0x890B, bytes(120)))


def _netlink(kind, body):
    def question():
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as route:
            route.send(struct.pack("IHHII", 16 + len(body), kind, 0x605, 1, 0) + body)
            answer = route.recv(4096)
            seen = -struct.unpack_from("i", answer, 16)[0] if struct.unpack_from("H", answer, 4)[0] == 2 else 0
            return refused(seen, errno.EPERM)

    return question


_LINK = struct.pack("BxHiII", 0, 0, 0, 0, 0) + struct.pack("HH", 16, 0x8012) + struct.pack("HH6sxx", 10, 1, b"dummy\0")
add(NET, "no link can be made by netlink", _netlink(16, _LINK))
add(
    NET,
    "no address can be added by netlink",
    _netlink(20, struct.pack("BBBBi", 2, 8, 0, 0, 1) + struct.pack("HH4s", 8, 2, bytes([10, 0, 0, 1]))),
)
add(NET, "no route can be added by netlink", _netlink(24, struct.pack("BBBBBBBBI", 2, 0, 0, 0, 254, 4, 0, 1, 0)))
add(NET, "no rule can be added by netlink", _netlink(32, struct.pack("BBBBBBBBI", 2, 0, 0, 0, 254, 0, 0, 1, 0)))
add(
    NET,
    "no ping socket",
    lambda: refused(errno_of(socket.socket, 2, 2, 1), errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT),
)
add(
    NET,
    "no firewall can be read",
    lambda: (lambda own: refused(errno_of(own.getsockopt, 0, 64, 84), errno.EPERM, errno.ENOPROTOOPT))(socket.socket()),
)

add(
    IPC,
    "a shared memory segment of the host's is not here",
    lambda: refused(syscall(NUMBERS["shmat"], FACTS["shm_id"], 0, 0o10000), errno.EINVAL, errno.EIDRM, errno.EACCES),
)
for _kind in ("shm", "sem", "msg"):
    add(
        IPC,
        f"no {_kind} of another's is listed",
        lambda kind=_kind: is_(text_of(f"/proc/sysvipc/{kind}").splitlines()[1:], []),
    )
add(IPC, "/dev/shm is empty", lambda: is_(os.listdir("/dev/shm"), []))
add(
    IPC,
    "a message queue of the host's is not here",
    lambda: is_(LIBC.mq_open(b"/" + FACTS["queue"].encode(), os.O_RDONLY), -1),
)
for _name in ("ipc", "net", "mnt", "pid", "user", "uts", "cgroup", "time"):
    add(
        IPC if _name == "ipc" else "namespaces",
        f"the {_name} namespace is not the host's",
        lambda name=_name: (
            None if os.readlink(f"/proc/self/ns/{name}") != FACTS["namespaces"][name] else "it is the host's"
        ),
    )
    if _name not in ("user", "time", "cgroup"):  # The cgroup namespace is the run's own, and begins at its cgroup.
        add(
            "namespaces",
            f"the {_name} namespace belongs to nobody whom the job could be",
            lambda name=_name: _foreign_owner(name),
        )


def _foreign_owner(name):
    """The owner of a namespace is asked by NS_GET_USERNS: EPERM where it is not ours, nor an ancestor's below us."""
    fd = os.open(f"/proc/self/ns/{name}", os.O_RDONLY)
    try:
        return refused(errno_of(fcntl.ioctl, fd, 0xB701), errno.EPERM, errno.EACCES)
    finally:
        os.close(fd)


@holds(IPC, "its own shared memory works")
def _shared():
    segment = LIBC.shmget(0, 4096, 0o1600)
    LIBC.shmat.restype = ctypes.c_void_p
    worked = segment >= 0 and LIBC.shmat(segment, None, 0) != ctypes.c_void_p(-1).value
    LIBC.shmctl(segment, 0, None)
    return None if worked else "it does not"


@holds(IPC, "descriptors pass between its own processes")
def _passing():
    one, other = socket.socketpair()
    with one, other, Path("/proc/self/status").open() as file:
        one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))])
        _, extra, _, _ = other.recvmsg(1, 64)
        os.close(array.array("i", extra[0][2])[0])
        return is_(len(extra), 1)
