"""Who is measured beside runwright: what is installed of the others, each starting a static `true` in its own way."""

import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.launcher.slots import FIRST_ID, IDS_PER_SLOT, SLOTS
from controller.linux import mount_api, namespaces, user_namespace
from controller.linux.namespaces import LinuxNamespace
from controller.linux.user_namespace import IdMap
from controller.sandbox import seccomp
from controller.sandbox.spec import Bind, SandboxSpec

PROGRAM = "/opt/true/true"
_SECONDS = 30
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Contender:
    """One who starts runs: `launch` returns the seconds from asking to the end seen. `every`: of so many rounds, one."""

    name: str
    what: str
    launch: Callable[[], float]
    every: int = 1


@dataclass(frozen=True, slots=True)
class Absent:
    """One who is not measured here, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where and with what all of them run: a directory, a static `true` in it, the parent of their cgroups."""

    directory: Path
    true: Path
    cgroup: str
    sandbox: SandboxSpec


def compiled(source: Path, program: Path) -> bool:
    """Compile a C program statically with the host's compiler; False if there is none that can."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    return compiler is not None and subprocess.call([compiler, "-O2", "-static", "-o", str(program), str(source)]) == 0


def be_a_host_of_one_cgroup_version() -> None:
    """Where both versions are mounted, hide the second from this process and its children: crun refuses such hosts."""
    hybrid = Path("/sys/fs/cgroup/unified")
    if hybrid.is_mount():
        namespaces.unshare(LinuxNamespace.MOUNT)
        mount_api.make_private()
        mount_api.unmount(str(hybrid), lazy=True)


def static_true(directory: Path) -> Path:
    """Return a `true` in a directory of its own: static if it can be built here."""
    program = directory / "true" / "true"
    program.parent.mkdir()
    source = directory / "true.c"
    source.write_text("int main(void) { return 0; }\n")
    if not compiled(source, program):
        shutil.copy("/bin/true", program)
    return program


def peers(place: Place) -> list[Contender | Absent]:
    """Return all others, each tried once."""
    plain = Contender("plain", "fork and exec, nothing else", lambda: spawn([str(place.true)]))
    return [plain, *(_tried(made) for made in (_floor(place), _bwrap(place), *_oci(place), _podman(place)))]


def _tried(contender: Contender | Absent) -> Contender | Absent:
    if isinstance(contender, Contender):
        try:
            contender.launch()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            return Absent(contender.name, f"does not work here: {str(error).strip():.100}")
    return contender


def spawn(argv: Sequence[str], pass_fd: int | None = None) -> float:
    """Return how long it takes to start this and see its end.

    Raises:
        RuntimeError: it failed.
    """
    null = (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)
    path = shutil.which(argv[0], path=_ENVIRONMENT["PATH"]) or argv[0]
    actions = [null] if pass_fd is None else []
    before = time.perf_counter()
    pid = os.posix_spawn(path, argv, _ENVIRONMENT, file_actions=actions)
    _, status = os.waitpid(pid, 0)
    took = time.perf_counter() - before
    if status != 0:
        raise RuntimeError(f"{argv[0]} failed: wait status {status}")
    return took


def _bwrap(place: Place) -> Contender | Absent:
    if shutil.which("bwrap") is None:
        return Absent("bwrap", "absent")
    argv = ["bwrap", "--unshare-all", "--die-with-parent", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for source, target in _binds(place):
        argv += ["--ro-bind", source, target]
    for path, points_to in place.sandbox.symlinks:
        argv += ["--symlink", points_to, path]
    return Contender("bwrap", "--unshare-all: no cgroup, no seccomp, no records", lambda: spawn([*argv, PROGRAM]))


def _binds(place: Place) -> list[tuple[str, str]]:
    return [(mount.source, mount.target) for mount in place.sandbox.mounts if isinstance(mount, Bind)]


def _floor(place: Place) -> Contender | Absent:
    program = place.directory / "launch_floor"
    if not compiled(_HERE / "launch_floor.c", program):
        return Absent("C floor", "no C compiler here")
    if not os.path.isdir("/sys/fs/cgroup/memory"):
        return Absent("C floor", "it knows cgroups of version 1 only")
    host_base = FIRST_ID + (SLOTS - 1) * IDS_PER_SLOT
    owners = user_namespace.create(IdMap(host_base, IDS_PER_SLOT))
    os.set_inheritable(owners, True)
    filter_file, stage = place.directory / "seccomp", place.directory / "stage"
    filter_file.write_bytes(seccomp.default_program(os.uname().machine))
    stage.mkdir()
    words: list[str] = []
    for source, target in _binds(place):
        words += ["b", source, target]
    for path, points_to in place.sandbox.symlinks:
        words += ["l", path, points_to]
    numbers = iter(range(1 << 30))

    def launch() -> float:
        run_dir = place.directory / f"floor-{next(numbers)}"
        fixed = [str(program), str(run_dir), f"{place.cgroup}/{run_dir.name}", str(owners), str(host_base)]
        return _spawn_until_told([*fixed, str(filter_file), PROGRAM, str(stage), *words], run_dir)

    return Contender("C floor", "the same system calls in C, everything made per launch", launch)


def _spawn_until_told(argv: list[str], run_dir: Path) -> float:
    """Start a program that makes a run in `run_dir` and closes its output when the end is on record."""
    told, telling = os.pipe2(os.O_CLOEXEC)
    before = time.perf_counter()
    run_dir.mkdir()
    pid = os.posix_spawn(argv[0], argv, _ENVIRONMENT, file_actions=[(os.POSIX_SPAWN_DUP2, telling, 1)])
    os.close(telling)
    os.read(told, 1)
    record = (run_dir / "exit.json").exists()
    took = time.perf_counter() - before
    os.close(told)
    _, status = os.waitpid(pid, 0)
    if status != 0 or not record:
        raise RuntimeError(f"{argv[0]} failed: wait status {status}")
    return took


def _oci(place: Place) -> list[Contender | Absent]:
    return [
        _runtime(place, "crun", ["crun", "--cgroup-manager", "cgroupfs"]),
        _runtime(place, "runc", ["runc"]),
    ]


def _runtime(place: Place, name: str, argv: list[str], every: int = 1) -> Contender | Absent:
    if shutil.which(name, path=_ENVIRONMENT["PATH"]) is None:
        return Absent(name, "absent")
    bundle = place.directory / f"bundle-{name}"
    (bundle / "rootfs").mkdir(parents=True)
    for path, points_to in place.sandbox.symlinks:
        link = bundle / "rootfs" / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(points_to)
    numbers = iter(range(1 << 30))
    (bundle / "config.json").write_text(json.dumps(_config(place, f"/{place.cgroup}/{name}")))

    def launch() -> float:
        return spawn([*argv, "run", "--bundle", str(bundle), f"bench-{os.getpid()}-{name}-{next(numbers)}"])

    return Contender(name, "cgroupfs, the same directories in an OCI bundle, no user namespace", launch, every)


def _config(place: Place, cgroup: str) -> dict[str, object]:
    mounts: list[dict[str, object]] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance"],
        },
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "size=65536k"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "size=65536k"]},
        {"destination": "/work", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "size=65536k"]},
    ]
    read_only = ["rbind", "ro", "nosuid", "nodev"]
    for source, target in _binds(place):
        mounts.append({"destination": target, "type": "bind", "source": source, "options": read_only})
    kinds = ("pid", "network", "ipc", "uts", "mount", "cgroup")
    process = {"user": {"uid": 0, "gid": 0}, "args": [PROGRAM], "env": ["PATH=/usr/bin:/bin"], "cwd": "/"}
    return {
        "ociVersion": "1.0.2",
        "process": {**process, "noNewPrivileges": True, "capabilities": {}},
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "sandbox",
        "mounts": mounts,
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": kind} for kind in kinds],
            "resources": {"memory": {"limit": 256 << 20}, "pids": {"limit": 200}},
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/sysrq-trigger", "/proc/timer_list"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
        },
    }


def _podman(place: Place) -> Contender | Absent:
    if shutil.which("podman", path=_ENVIRONMENT["PATH"]) is None:
        return Absent("podman", "absent")
    rootfs, storage = place.directory / "podman-rootfs", place.directory / "podman"
    (rootfs / "opt/true").mkdir(parents=True)
    shutil.copy(place.true, rootfs / "opt/true/true")
    where = ["--root", f"{storage}/root", "--runroot", f"{storage}/run", "--tmpdir", f"{storage}/tmp"]
    how = ["--cgroup-manager", "cgroupfs", "--storage-driver", "vfs", "--events-backend", "none"]
    run = ["run", "--rm", "--network", "none", "--log-driver", "none", f"--cgroup-parent=/{place.cgroup}"]
    limits = ["--memory", "256m", "--pids-limit", "200", "--read-only", *_own_limits()]
    argv = ["podman", *where, *how, *run, *limits, "--rootfs", str(rootfs), PROGRAM]
    return Contender("podman", "--network none, a root directory and no image", lambda: spawn(argv), every=2)


def _own_limits() -> list[str]:
    """Return the options that ask podman for no more files and processes than we can have ourselves."""
    words = []
    for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        _, hard = resource.getrlimit(number)
        most = 1000 if hard == resource.RLIM_INFINITY else min(hard, 1000)
        words += ["--ulimit", f"{name}={most}:{most}"]
    return words
