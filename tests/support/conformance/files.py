"""What files are seen, on which mounts, and where something can be written."""

import errno
import os
import stat
import subprocess
from pathlib import Path

from harness import FACTS, add, errno_of, holds, is_, mounts, refused

MOUNTS, FILES = "mounts", "files"
DEVICE_MOUNTS = {"/dev", "/dev/pts"}
WRITABLE = {"/work", "/tmp", "/dev/shm", "/dev/pts", "/proc"}


def _without(option, but=()):
    return [mount["point"] for mount in mounts() if option not in mount["options"] and mount["point"] not in but]


def _one(point, *wanted):
    def question():
        found = [mount for mount in mounts() if mount["point"] == point]
        return None if found and set(wanted) <= found[-1]["options"] else f"{[m['options'] for m in found]}"

    return question


def _size(path, most=1 << 30):
    def question():
        space = os.statvfs(path)
        return None if 0 < space.f_blocks * space.f_frsize <= most else str(space.f_blocks)

    return question


add(MOUNTS, "every mount is nosuid", lambda: is_(_without("nosuid"), []))
add(MOUNTS, "every mount is nodev, but /dev and its terminals", lambda: is_(_without("nodev", DEVICE_MOUNTS), []))
add(MOUNTS, "every mount is read-only, but the run's own", lambda: is_(_without("ro", WRITABLE), []))
add(MOUNTS, "no mount passes mounts on", lambda: is_([m["point"] for m in mounts() if m["tags"]], []))
add(MOUNTS, "the root is read-only, nosuid and nodev", _one("/", "ro", "nosuid", "nodev"))
add(MOUNTS, "the root is in memory", lambda: is_(next(m["type"] for m in mounts() if m["point"] == "/"), "tmpfs"))
add(MOUNTS, "/proc is nosuid, nodev and noexec", _one("/proc", "nosuid", "nodev", "noexec"))
add(
    MOUNTS,
    "/proc hides processes",
    lambda: None if any(m["point"] == "/proc" and "hidepid=" in m["super"] for m in mounts()) else "hidepid is not set",
)
add(MOUNTS, "/dev is read-only, nosuid and noexec", _one("/dev", "ro", "nosuid", "noexec"))
add(MOUNTS, "/dev/pts is nosuid and noexec", _one("/dev/pts", "nosuid", "noexec"))
add(MOUNTS, "/dev/shm is nosuid, nodev and noexec", _one("/dev/shm", "nosuid", "nodev", "noexec"))
add(MOUNTS, "/tmp is nosuid and nodev", _one("/tmp", "nosuid", "nodev"))
add(MOUNTS, "/work is nosuid and nodev", _one("/work", "nosuid", "nodev"))
add(MOUNTS, "/proc/sys is read-only", _one("/proc/sys", "ro"))
for _point in ("/", "/dev", "/dev/shm", "/tmp", "/work"):
    add(MOUNTS, f"{_point} has a size", _size(_point))
add(
    MOUNTS,
    "what is writable is in memory and this run's",
    lambda: is_({m["type"] for m in mounts() if "rw" in m["options"]} - {"tmpfs", "devpts", "proc"}, set()),
)
for _type in (
    "sysfs",
    "cgroup",
    "cgroup2",
    "debugfs",
    "tracefs",
    "securityfs",
    "bpf",
    "configfs",
    "efivarfs",
    "fusectl",
    "pstore",
    "hugetlbfs",
    "mqueue",
    "overlay",
    "nfs",
    "nsfs",
):
    add(MOUNTS, f"there is no {_type}", lambda kind=_type: is_([m["point"] for m in mounts() if m["type"] == kind], []))
add(
    MOUNTS,
    "no mount is of a directory of the run's records",
    lambda: is_([m["root"] for m in mounts() if FACTS["state"] in m["root"]], []),
)
add(
    MOUNTS,
    "no mount shows where a job's files were staged",
    lambda: is_([m["root"] for m in mounts() if "files" in m["root"].split("/")], []),
)
add(
    MOUNTS,
    "no mount is of a container engine's",
    lambda: is_(
        [
            m["root"]
            for m in mounts()
            if any(
                word in m["root"] + m["super"] for word in ("upperdir=", "lowerdir=", "docker", "containers/storage")
            )
        ],
        [],
    ),
)
add(
    MOUNTS,
    "what a mount shows of its directory is the runtime's or a program directory",
    lambda: is_(
        [
            m["root"]
            for m in mounts()
            if m["type"] not in ("tmpfs", "proc", "devpts") and not m["root"].startswith(tuple(FACTS["shown"]))
        ],
        [],
    ),
)


add(
    MOUNTS,
    "no mount shows where on the host its directory lies",
    lambda: is_([m["root"] for m in mounts() if m["type"] not in ("tmpfs", "proc", "devpts") and m["root"] != "/"], []),
)


def _not_writable(path):
    def question():
        return refused(
            errno_of(os.close, os.open(path, os.O_CREAT | os.O_WRONLY)), errno.EROFS, errno.EACCES, errno.EPERM
        )

    def checked():
        try:
            return question()
        except OSError as error:
            return refused(error.errno, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)

    return checked


for _directory in (
    "/",
    "/bin",
    "/dev",
    "/etc",
    "/lib",
    "/proc",
    "/run",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/var",
    "/dev/pts",
):
    add(FILES, f"nothing can be made in {_directory}", _not_writable(f"{_directory.rstrip('/')}/made"))
for _path in ("/etc/passwd", "/etc/hosts", "/etc/hostname", "/etc/group", "/usr/bin/python3"):
    add(FILES, f"{_path} cannot be written", _not_writable(_path))
for _path in (
    "/root", "/home", "/boot", "/opt", "/srv", "/mnt", "/media", "/sys", "/var/lib", "/var/log", "/var/spool", "/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh",
    "/etc/machine-id", "/etc/fstab", "/etc/crontab", "/etc/kubernetes", "/etc/runwright", "/run/docker.sock", "/var/run/docker.sock", "/run/containerd", "/run/runwright",
    "/run/systemd", "/run/dbus", "/run/user", "/run/secrets", "/var/run/secrets", "/.dockerenv", "/run/.containerenv", "/old", "/oldroot", "/.old", "/etc/resolv.conf", "/lost+found",
):  # fmt: skip
    add(FILES, f"there is no {_path}", lambda path=_path: None if not os.path.lexists(path) else "it is there")
add(
    FILES,
    "a secret of the host's is not found by its path",
    lambda: None if not os.path.lexists(FACTS["secret"]) else "it is there",
)
add(FILES, "the root has nothing above it", lambda: is_(os.stat("/..").st_ino, os.stat("/").st_ino))
add(FILES, "the working directory is inside", lambda: is_(os.getcwd(), "/work"))
add(
    FILES,
    "its path is not unreachable",
    lambda: None if not os.readlink("/proc/self/cwd").startswith("(") else os.readlink("/proc/self/cwd"),
)
add(FILES, "the root of this process is /", lambda: is_(os.readlink("/proc/self/root"), "/"))


@holds(FILES, "no file or directory outside the run's own is writable for it")
def _writable():
    found = []
    for top, directories, names in os.walk("/"):
        directories[:] = [
            name
            for name in directories
            if os.path.join(top, name) not in ("/proc", "/work", "/tmp", "/dev/shm", "/dev/pts", "/dev/fd")
        ]
        for path in (top, *(os.path.join(top, name) for name in names)):
            if not os.path.islink(path) and os.access(path, os.W_OK) and not stat.S_ISCHR(os.stat(path).st_mode):
                found.append(path)
        if top.count("/") > 4:
            directories[:] = []
    return is_(found[:5], [])


@holds(FILES, "no program here is set-user-id to a gain")
def _set_user_id():
    for path in ("/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount"):
        if os.path.exists(path) and os.stat(path).st_mode & stat.S_ISUID:
            done = subprocess.run([path, "--version"], capture_output=True, check=False)
            if done.returncode < 0:
                return f"{path} ended by signal {-done.returncode}"
    return None


@holds(FILES, "a link out of the root leads nowhere")
def _link():
    link = Path("/tmp/up")
    link.symlink_to("../" * 40 + FACTS["secret"].lstrip("/"))
    return refused(errno_of(link.read_text), errno.ENOENT)


@holds(FILES, "files that the job makes are its own user's on the host")
def _own():
    path = Path("/work/made")
    path.touch()
    return is_(path.stat().st_uid, 0)


def _full(directory):
    """Writing without end meets the size."""

    def question():
        path = Path(directory, "filler")
        seen = 0
        try:
            with path.open("wb", buffering=0) as file:
                for _ in range(1 << 12):
                    file.write(bytes(1 << 20))
        except OSError as error:
            seen = error.errno
        finally:
            path.unlink()
        return refused(seen, errno.ENOSPC)

    return question


for _directory in ("/tmp", "/work", "/dev/shm"):
    add("limits", f"{_directory} is full at its size", _full(_directory))


def _few_inodes(directory):
    """What is empty takes no room, and yet memory of the kernel's: so there is a number of it, too."""

    def question():
        space = os.statvfs(directory)
        room = space.f_blocks * space.f_frsize
        return None if room // 4096 <= space.f_files <= room // 1024 else f"{space.f_files} for {room} bytes"

    return question


for _directory in ("/tmp", "/work", "/dev/shm"):
    add("limits", f"{_directory} has no more files than its size is for", _few_inodes(_directory))
