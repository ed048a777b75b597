"""Run directories: where a run's records, files and our own marks on it are.

`RUNS/JOB_UID/ATTEMPT/` holds the launcher's records, `files/` for /work, and two marks of ours:
`frozen` after a freeze, `stop-sent` after a stop. Marks follow the deed, so a crash between the two
only makes us do it again.
"""

import os
import shutil
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from api.meta import read_time
from api.types.job_spec import JobFile

_FROZEN = "frozen"
_STOP_SENT = "stop-sent"
_FILES = "files"


def run_id(job_uid: str, attempt: int) -> str:
    """Return the identity of a run, unique for ever; its cgroup has the same name."""
    return f"{job_uid}-{attempt}"


class RunDirs:
    """The run directories of this host."""

    def __init__(self, root: Path) -> None:
        """Keep them below `root`, which is on a disk that survives a restart of the host."""
        self._root = root

    def path(self, job_uid: str, attempt: int) -> Path:
        """Return the directory of a run, there or not."""
        return self._root / job_uid / str(attempt)

    def attempts(self, job_uid: str) -> tuple[int, ...]:
        """Return which runs of a job have a directory, in order."""
        try:
            return tuple(sorted(int(name) for name in os.listdir(self._root / job_uid) if name.isdecimal()))
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

        What is staged is not written again: a supervisor may be reading it.
        """
        wanted = tuple(files)
        if not wanted:
            return None
        staged = self.path(job_uid, attempt) / _FILES
        if staged.exists():
            return staged
        aside = staged.with_name(f"{_FILES}.new")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o755)
        for file in wanted:
            target = aside / file.path
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            target.write_bytes(file.content)
            target.chmod(file.mode)
        aside.rename(staged)
        return staged

    def remove(self, job_uid: str, attempt: int) -> None:
        """Remove a run's directory; it may be gone."""
        path = self.path(job_uid, attempt)
        if path.exists():
            shutil.rmtree(path)
        try:
            path.parent.rmdir()
        except OSError:
            return  # Other runs of the job are still there, or nothing is.

    def is_frozen(self, job_uid: str, attempt: int) -> bool:
        """Whether the run was frozen and not thawed."""
        return (self.path(job_uid, attempt) / _FROZEN).exists()

    def mark_frozen(self, job_uid: str, attempt: int, *, frozen: bool) -> None:
        """Remember that the run was frozen, or thawed."""
        mark = self.path(job_uid, attempt) / _FROZEN
        if frozen:
            mark.touch()
        else:
            mark.unlink(missing_ok=True)

    def stop_sent_at(self, job_uid: str, attempt: int) -> datetime | None:
        """Return when a stop was sent to the run."""
        try:
            return read_time((self.path(job_uid, attempt) / _STOP_SENT).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def mark_stop_sent(self, job_uid: str, attempt: int, moment: datetime) -> None:
        """Remember that a stop was sent at `moment`."""
        (self.path(job_uid, attempt) / _STOP_SENT).write_text(moment.isoformat())
