"""`rnx job download`: the files that a job's last run left, as its `artifacts` name them.

What the names say was chosen by the job: each is looked at before anything is made of it, and nothing is made outside
of the directory. Invariant: a file has its name when it is whole, and has the digest that was told.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import click

from api.cli import finished
from api.cli.completing import complete_job
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.flag_types import Whole
from api.cli.job import find
from api.cli.output import note, printable, several, show_columns, show_json
from api.cli.problems import CommandFailed
from api.cli.progress import FileProgress
from api.client import Client
from api.client_transport import Silence, Unreachable
from api.errors import TooManyRequests
from api.meta import Document

_MOST_TRIES = 10
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_READ_BYTES = 1 << 20


@click.command("download")
@click.argument("name", metavar="JOB", shell_complete=complete_job)
@click.argument("patterns", nargs=-1, metavar="[PATTERN…]")
@click.option(
    "-o",
    "--output",
    "directory",
    default=".",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to put them; by default here.",
)
@click.option("--index", type=Whole(0), metavar="N", help="Of an indexed job, only those of this index.")
@click.option("--list", "only_list", is_flag=True, help="Only list them.")
@click.option("--json", "as_json", is_flag=True, help="List them as JSON, as the API said it.")
@reaching
@pass_connection
def download(
    connection: Connection, *, name: str, patterns: tuple[str, ...], directory: Path, only_list: bool, as_json: bool,
    index: int | None,
) -> None:  # fmt: skip
    """Fetch the files that JOB left, or those of them that match a PATTERN, such as 'out/**/*.csv'.

    \b
    rnx job run --artifact=out --name=etl -- ./etl.sh
    rnx job download etl -o results

    spec.artifacts, or --artifact, says which files a job leaves. A download that broke off goes on where it was.
    Of a job of many runs, what each left is put into a directory of its own, called as its index.
    """
    job = find(connection, name)
    name = str(job["metadata"]["name"])
    listings = [
        (place, connection.client.artifacts(connection.namespace, name, patterns, attempt))
        for place, attempt in _runs(job, index)
    ]
    if as_json:
        show_json(listings[0][1] if len(listings) == 1 else [listing for _, listing in listings])
        return
    for _, listing in listings:
        if listing["leftOut"]:
            note(f"job {name}: not kept: {printable(listing['leftOut'])}")
    if only_list:
        _show(job, listings)
        return
    found = [(place, listing) for place, listing in listings if listing["items"]]
    if not found:
        raise CommandFailed(f"cannot download files of job {name}: {_why_none(connection, job, patterns)}")
    for place, listing in found:
        _fetch_all(connection, name, listing, directory / place)


def _runs(job: Document, index: int | None) -> list[tuple[str, int | None]]:
    """Return which runs are meant, and the directory for what each left; None is the newest that left any."""
    if index is not None:
        ended = [run["attempt"] for run in finished.of_index(job, index) if run.get("state") == "Ended"]
        if not ended:
            raise CommandFailed(f"job {job['metadata']['name']} has no run of index {index} on record that has ended")
        return [("", ended[-1])]
    if not finished.has_many_runs(job):
        return [("", None)]
    ended = finished.last_of_each([run for run in finished.runs_of(job) if run.get("state") == "Ended"])
    return [(str(run.get("index", run["attempt"])), run["attempt"]) for run in ended] or [("", None)]


def _show(job: Document, listings: list[tuple[str, Document]]) -> None:
    """Show what there is as one table, which says whose each is where the runs left theirs side by side."""
    many = any(place for place, _ in listings)
    which = "INDEX" if job["spec"].get("completionMode") == "Indexed" else "RUN"
    rows = [["SIZE", "DIGEST", *([which] if many else []), "PATH"]]
    for place, listing in listings:
        of_run = [place] if many else []
        rows += [[str(one["sizeBytes"]), one["digest"], *of_run, printable(one["path"])] for one in listing["items"]]
    show_columns(rows)


def _why_none(connection: Connection, job: Document, patterns: tuple[str, ...]) -> str:
    """Say why there is nothing to fetch, from what the job says and is."""
    name, wanted = job["metadata"]["name"], job["spec"].get("artifacts")
    if patterns and connection.client.artifacts(connection.namespace, name)["items"]:
        return f"no file of it matches {printable(' '.join(patterns))}: rnx job download {name} --list shows them"
    if not wanted:
        return "it has no spec.artifacts: say what to keep with rnx job run --artifact=PATTERN"
    if not finished.is_finished(job):
        return f"it has not ended, and files are kept when a run ends: rnx wait job/{name} --for=Complete"
    return f"its last run left no file that spec.artifacts names: {printable(' '.join(wanted))}"


def _fetch_all(connection: Connection, name: str, listing: Document, directory: Path) -> None:
    items = listing["items"]
    with FileProgress("downloading") as progress:
        for item in items:
            target = _target(directory, str(item["path"]))
            try:
                fetching = _Fetching(connection.client, connection.namespace, name, item, progress, listing["attempt"])
                fetching.run(target)
            except OSError as error:
                if isinstance(error, ConnectionError):
                    raise
                raise CommandFailed(f"cannot write {printable(str(target))}: {error.strerror}") from error
    note(f"{several(len(items), 'file')} in {directory}")


def _target(directory: Path, path: str) -> Path:
    """Return where a file of a job is to be, which is in the directory whatever the job called it."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or not path.isprintable():
        raise CommandFailed(f"cannot download {printable(path)!r}: it is no path inside of a directory")
    above = directory
    for part in parts[:-1]:
        above /= part
        if above.is_symlink():
            raise CommandFailed(f"cannot download {printable(path)}: {printable(str(above))} is a link: remove it")
    return directory.joinpath(*parts)


class _Fetching:
    """One file on its way."""

    def __init__(
        self, client: Client, namespace: str, job: str, item: Document, progress: FileProgress, attempt: int
    ) -> None:  # fmt: skip
        self._attempt = attempt
        self._client, self._namespace, self._job, self._progress = client, namespace, job, progress
        self._path, self._size = str(item["path"]), int(item["sizeBytes"])
        self._digest, self._mode = str(item["digest"]), int(item.get("mode", 0o644)) & 0o777 | 0o600

    def run(self, target: Path) -> None:
        """Fetch it, on after breaks."""
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name[:200]}.{self._digest[7:19]}.part")
        pause, tries = _FIRST_PAUSE_SECONDS, 0
        while True:
            before = aside.stat().st_size if aside.exists() else 0
            try:
                self._fetch(aside)
                break
            except (Unreachable, Silence, TooManyRequests) as error:
                after = aside.stat().st_size if aside.exists() else 0
                tries = 0 if after > before else tries + 1
                if tries >= _MOST_TRIES:
                    raise
                note(f"fetching {printable(self._path)}: {error}; trying again")
                self._client.closed.wait(getattr(error, "retry_after_seconds", None) or pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        umask = os.umask(0o077)
        os.umask(umask)
        aside.chmod(self._mode & ~umask)
        aside.rename(target)

    def _fetch(self, aside: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(aside, flags, 0o600)
        try:
            digest, at = _digest_of(fd, self._size)
            if at < self._size:
                about = (self._namespace, self._job, self._path, self._digest, at, self._attempt)
                with self._client.artifact(*about) as chunks:
                    at = self._take(fd, chunks, digest, at)
            whole = at == self._size and f"sha256:{digest.hexdigest()}" == self._digest
        finally:
            os.close(fd)
        if not whole:
            with contextlib.suppress(FileNotFoundError):
                aside.unlink()
            raise CommandFailed(f"cannot download {printable(self._path)}: what came is another content: try again")

    def _take(self, fd: int, chunks: Iterator[bytes], digest: "hashlib._Hash", at: int) -> int:
        for chunk in chunks:
            digest.update(chunk)
            left = memoryview(chunk)
            while left:
                written = os.pwrite(fd, left, at)
                at, left = at + written, left[written:]
            self._progress.show(self._path, at, self._size)
        return at


def _digest_of(fd: int, most_bytes: int) -> tuple["hashlib._Hash", int]:
    """Return the digest of what is in the file so far, and how much that is; of more than there should be, nothing."""
    digest, at = hashlib.sha256(), 0
    if os.fstat(fd).st_size > most_bytes:
        os.ftruncate(fd, 0)
    while piece := os.pread(fd, _READ_BYTES, at):
        digest.update(piece)
        at += len(piece)
    return digest, at
