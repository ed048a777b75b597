"""Run directories: where a run's records, files and our own marks on it are.

`RUNS/JOB_UID/ATTEMPT/` holds the launcher's records, `files/` for /work (in memory instead, if one of them is a
Secret's), `given/` with names for the contents that were uploaded for it, and marks of ours: `freezing` before and
`frozen` after a freeze, both until after a thaw, and `stop-sent` after a stop. So a crash between a deed and its mark
only makes us do it again, whatever is wanted by then.
"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from api.meta import read_time
from api.types.job_file import JobFile
from controller.contents.store import PREFIX, Contents
from controller.job.memory_place import MemoryPlace

_FREEZING = "freezing"
_FROZEN = "frozen"
_STOP_SENT = "stop-sent"
_FILES = "files"
GIVEN = "given"
"""The directory of what a run has copies of: names of contents, and copies of files of the host."""


def run_id(job_uid: str, attempt: int) -> str:
    """Return the identity of a run, unique for ever; its cgroup has the same name."""
    return f"{job_uid}-{attempt}"


def name_given(digest: str) -> str:
    """Return what a content is called in the directory of those that a run was given."""
    return digest.removeprefix(PREFIX)


@dataclass(frozen=True, slots=True)
class Marks:
    """What we have noted of a run: whether a freeze was begun, and done, with no thaw since; and the last stop.

    That is when it was sent, and its grace in seconds.
    """

    freezing: bool = False
    frozen: bool = False
    stop_sent: tuple[datetime, float] | None = None


class RunDirs:
    """The run directories of this host. What each pass asks is asked by text: a Path costs more than the call."""

    def __init__(self, root: Path, memory: MemoryPlace) -> None:
        """Keep them below `root`, which is on a disk that survives a restart of the host; secret files in `memory`."""
        self._root = root
        self._name = str(root)
        self._memory = memory

    def path(self, job_uid: str, attempt: int) -> Path:
        """Return the directory of a run, there or not."""
        return self._root.joinpath(job_uid, str(attempt))

    def is_there(self, job_uid: str, attempt: int) -> bool:
        """Whether a run has a directory."""
        return os.path.exists(f"{self._name}/{job_uid}/{attempt}")

    def attempts(self, job_uid: str) -> tuple[int, ...]:
        """Return which runs of a job have a directory, in order."""
        try:
            return tuple(sorted(int(name) for name in os.listdir(f"{self._name}/{job_uid}") if name.isdecimal()))
        except FileNotFoundError:
            return ()

    def job_uids(self) -> tuple[str, ...]:
        """Return the uids of all jobs that have something here."""
        with os.scandir(self._root) as entries:
            return tuple(sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False)))

    def make(self, job_uid: str, attempt: int) -> Path:
        """Make the directory of a run; it may be there."""
        path = self.path(job_uid, attempt)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def stage(self, job_uid: str, attempt: int, files: Iterable[JobFile]) -> Path | None:
        """Write `files` for /work, once and whole; return their directory, or None when there are none.

        Where one is a Secret's, all of them are in memory alone. What is staged is not written again: a supervisor may
        be reading it.

        Raises:
            OSError: they cannot be written; or there is no memory for what is secret.
        """
        wanted = tuple(files)
        if not wanted:
            return None
        is_secret = any(file.secret_key_ref is not None for file in wanted)
        place = self._memory.make(job_uid, attempt) if is_secret else self.path(job_uid, attempt)
        staged = place / _FILES
        if staged.exists():
            return staged
        aside = staged.with_name(f"{_FILES}.new")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o755)
        for file in wanted:
            _put(aside, file)
        for file in wanted:
            if file.directory:
                (aside / file.path).chmod(file.permissions)
        aside.rename(staged)
        return staged

    def give(
        self, job_uid: str, attempt: int, namespace: str, files: Iterable[JobFile], contents: Contents
    ) -> Path | None:
        """Have the contents that `files` were uploaded with in a directory of the run's; None when there are none.

        Raises:
            Missing: one of them is not here.
            OSError: the disk refuses.
        """
        digests = sorted({file.upload for file in files if file.upload is not None})
        if not digests:
            return None
        given = self.path(job_uid, attempt) / GIVEN
        given.mkdir(mode=0o700, exist_ok=True)
        for digest in digests:
            contents.give(namespace, digest, given / name_given(digest))
        return given

    def remove(self, job_uid: str, attempt: int) -> None:
        """Remove a run's directory, and what is in memory of it first; it may be gone."""
        self._memory.remove(job_uid, attempt)
        path = self.path(job_uid, attempt)
        if path.exists():
            shutil.rmtree(path)
        try:
            path.parent.rmdir()
        except OSError:
            return  # Other runs of the job are still there, or nothing is.

    def may_be_frozen(self, job_uid: str, attempt: int) -> bool:
        """Whether a freeze of the run was begun and no thaw done since."""
        return (self.path(job_uid, attempt) / _FREEZING).exists()

    def marks(self, job_uid: str, attempt: int) -> Marks:
        """Return what we have noted of a run: most have nothing, which one look tells."""
        try:
            names = os.listdir(f"{self._name}/{job_uid}/{attempt}")
        except FileNotFoundError:
            return Marks()
        stop_sent = self._stop_sent(job_uid, attempt) if _STOP_SENT in names else None
        return Marks(_FREEZING in names, _FROZEN in names, stop_sent)

    def mark_freezing(self, job_uid: str, attempt: int) -> None:
        """Remember that the run is about to be frozen: whoever finds this thaws it, if it is to run."""
        (self.path(job_uid, attempt) / _FREEZING).touch()

    def mark_frozen(self, job_uid: str, attempt: int) -> None:
        """Remember that the run is frozen."""
        (self.path(job_uid, attempt) / _FROZEN).touch()

    def mark_thawed(self, job_uid: str, attempt: int) -> None:
        """Remember that the run goes on."""
        for mark in (_FROZEN, _FREEZING):
            (self.path(job_uid, attempt) / mark).unlink(missing_ok=True)

    def _stop_sent(self, job_uid: str, attempt: int) -> tuple[datetime, float] | None:
        try:
            moment, _, grace = (self.path(job_uid, attempt) / _STOP_SENT).read_text().partition(" ")
            return read_time(moment), float(grace)
        except (FileNotFoundError, ValueError):
            return None

    def mark_stop_sent(self, job_uid: str, attempt: int, moment: datetime, grace_seconds: float) -> None:
        """Remember that a stop was sent at `moment`."""
        (self.path(job_uid, attempt) / _STOP_SENT).write_text(f"{moment.isoformat()} {grace_seconds}")


def _put(directory: Path, file: JobFile) -> None:
    """Put one file, link or directory into `directory`; of what is copied there, the directory that it is to be in."""
    target = directory / file.path
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if file.link is not None:
        target.symlink_to(file.link)
    elif file.directory:
        target.mkdir(mode=0o755, exist_ok=True)
    elif file.upload is None and file.host_path is None:
        target.write_bytes(file.content)
        target.chmod(file.mode)
