"""Whether the file system in an image is damaged: who says so, in which words, and until when that is believed.

What is known lies beside the image (`damaged`), with what the image was then: once somebody has mended it, or put
another in its place, it is forgotten. Never here: mending. That loses what cannot be mended, so a person begins it.
"""

import errno
import os
import subprocess
from pathlib import Path

from controller.linux import mountinfo
from controller.linux.libc import SyscallError

_KNOWN = "damaged"
_EMERGENCY = "emergency_ro"
_SECONDS = 60  # Then the kernel's word has to do: others are to be served.
_CLEAN, _ERRORS_LEFT, _NOT_EVEN_READ = 0, 4, 8  # Source: e2fsck(8), EXIT CODE.
_SAYS_THE_KERNEL = (errno.EUCLEAN, errno.EBADMSG)  # EFSCORRUPTED and EFSBADCRC.
_MOST_CHARACTERS = 200


def known(image: Path) -> str:
    """Return what is wrong with an image that is not mounted, as was found before; empty if nothing is known."""
    try:
        of, _, why = (image.parent / _KNOWN).read_text().partition("\n")
        return why.strip() if of == _identity(image) else ""
    except FileNotFoundError:
        return ""


def look(image: Path, error: SyscallError) -> str:
    """Return what is wrong with an image that the kernel would not mount, and know it from now on; empty if nothing is.

    Raises:
        OSError: it cannot be written down.
    """
    told = _checked(image)
    if told is None and error.errno in _SAYS_THE_KERNEL:
        told = f"the kernel says {errno.errorcode[error.errno]} ({error.strerror})"
    if not told:
        return ""
    mend = f"mend it on the host (e2fsck -f {image})"
    why = f"its file system is damaged: {told}: {mend}, restore a snapshot as another volume, or delete it"
    (image.parent / _KNOWN).write_text(f"{_identity(image)}\n{why}\n")
    return why


def of_mounted(place: Path) -> str:
    """Return what is wrong with a file system that is mounted; empty if nothing is known to be.

    Source: ext4(5), errors=remount-ro: it writes no more from the first damage, or failed write of its own, on. Since
    Linux 6.15 that is no read-only mount any more, and only its options tell (EXT4_FLAGS_EMERGENCY_RO).
    """
    if not os.statvfs(place).f_flag & os.ST_RDONLY and _EMERGENCY not in _options_of(place):
        return ""
    cause = "the kernel has found its file system damaged, or could not write to the host's disk, and writes no more"
    fix = "see dmesg and df on the host, and end the jobs that have it: it is mounted anew then"
    return f"{cause}: {fix}"


def _options_of(place: Path) -> tuple[str, ...]:
    device = os.stat(place).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    entries = mountinfo.parse(mountinfo.decode(Path("/proc/self/mountinfo").read_bytes()))
    return next((entry.super_options for entry in entries if entry.device == number), ())


def _checked(image: Path) -> str | None:
    """Return what e2fsck has to say against an image, which it does not change; None if that is not to be had."""
    environment = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: TID251 - a program of the host's, for a moment: ext4 is judged by its own tools
            ["e2fsck", "-f", "-n", str(image)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    if done.returncode == _CLEAN:
        return ""
    if not done.returncode & (_ERRORS_LEFT | _NOT_EVEN_READ):
        return None
    lines = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    said = [line.strip().removesuffix("? no") for line in lines if line.strip() and not _is_of_its_own(line)]
    return f"e2fsck says: {said[0][:_MOST_CHARACTERS]}" if said else None


def _is_of_its_own(line: str) -> bool:
    """Say whether a line is about e2fsck and what it does next, and not about what it found."""
    return line.startswith(("e2fsck ", "Pass ", "Warning!"))


def _identity(image: Path) -> str:
    seen = image.stat()
    return f"{seen.st_ino} {seen.st_size} {seen.st_mtime_ns}"
