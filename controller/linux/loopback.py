"""The loopback device of the network namespace this process is in. All other devices are netlink's."""

import fcntl
import socket
from struct import Struct

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_IFREQ = Struct("16sh22x")  # struct ifreq: name, flags.


def bring_up() -> None:
    """Set `lo` up; the kernel gives it 127.0.0.1 and ::1 by itself.

    Raises:
        OSError: EPERM without CAP_NET_ADMIN in the namespace.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _IFREQ.pack(b"lo", _IFF_UP))
