"""Connecting to a port of a run, as a process of the run: the connection is handed out, and the process ends.

So what is listened to is what the run itself could reach, with its own rights, and no byte passes through a process of
ours in it. The connection is bound to the run's network for as long as it is open, whoever holds it.
"""

import os
import socket

SECONDS = 5.0
_LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


class CannotConnect(Exception):
    """Nobody took the connection."""


def connected(port: int) -> socket.socket:
    """Return a connection to what listens on `port` of the loopback, by IPv4 or else by IPv6; the caller closes it.

    Raises:
        CannotConnect: nobody listens there, or takes it in time.
    """
    causes: list[str] = []
    for family, address in _LOOPBACKS:
        try:
            return _connected(family, address, port)
        except OSError as error:
            causes.append(f"{address}: {os.strerror(error.errno) if error.errno else error}")
    raise CannotConnect(f"cannot connect to port {port} of the run: {'; '.join(causes)}")


def _connected(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(SECONDS)
        connection.connect((address, port))
    except BaseException:
        connection.close()
        raise
    return connection
