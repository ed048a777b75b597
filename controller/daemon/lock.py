"""One daemon a root: a lock that the kernel drops with the process, however it ends."""

import fcntl
import os
from pathlib import Path
from typing import IO


class AlreadyRunning(Exception):
    """Another daemon serves this root."""


def take(path: Path) -> IO[str]:
    """Take the lock, held until the returned file is closed; it says who holds it.

    Raises:
        AlreadyRunning: another process has it.
    """
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise AlreadyRunning(
            f"another runwrightd (process {holder}) holds {path}: stop it, or use another --root"
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
