"""The loopback device of the network namespace this process is in, and its ports. All other devices are netlink's."""

import fcntl
import os
import socket
from struct import Struct

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_IFREQ = Struct("16sh22x")  # struct ifreq: name, flags.
_FIRST_FREE_PORT = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def bring_up() -> None:
    """Set `lo` up; the kernel gives it 127.0.0.1 and ::1 by itself.

    Raises:
        OSError: EPERM without CAP_NET_ADMIN in the namespace.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _IFREQ.pack(b"lo", _IFF_UP))


def open_low_ports() -> None:
    """Let anybody in the network namespace bind ports below 1024 too.

    Raises:
        OSError: EROFS, EACCES: /proc/sys cannot be written here.
    """
    fd = os.open(_FIRST_FREE_PORT, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"0")
    finally:
        os.close(fd)
