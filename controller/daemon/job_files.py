"""What jobs' files need of the daemon as a whole: where uploads are kept, what is refused, and their collection.

Here: the parts put together, the refusal and the chore. Never here: what any of them does.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from api import quantity
from api.errors import Invalid
from api.kinds import JOB
from api.meta import Document
from api.objects import admission
from api.objects.verbs import Judged
from api.ports import Storage
from api.types.job_spec import JobSpec
from controller.contents.arriving import Arriving
from controller.contents.store import Contents
from controller.daemon.paths import Paths
from controller.daemon.settings import Settings
from controller.engine.clock import Clock
from controller.engine.log import keys
from controller.job import uploaded
from controller.job.artifacts import KeptArtifacts
from controller.job.host_files import HostFiles

_log = logging.getLogger(__name__)


class JobFiles:
    """The contents that were uploaded for jobs, those on their way, and what runs left."""

    def __init__(self, settings: Settings, paths: Paths, clock: Clock, storage: Storage, boot_id: str) -> None:
        """Keep them below the directory of the state; `storage` has what refers to them."""
        self.contents = Contents(paths.contents, clock, settings.files.limits())
        self.artifacts = KeptArtifacts(paths.artifacts, settings.files.artifact_limits())
        minimum_free = settings.files.limits().minimum_free
        self.host_files = HostFiles(settings.policy.host_files, boot_id, minimum_free)
        self.uploads = Arriving(self.contents, clock, boot_id)
        self._storage = storage
        self._usual_work_bytes = quantity.to_bytes(settings.jobs.work_size)

    def sweep(self, known_uids: Collection[str]) -> None:
        """Remove what was kept of jobs that nobody knows any more, and what whoever was killed left half done."""
        self.uploads.tidy()
        for uid in self.artifacts.sweep(known_uids):
            _log.warning("removed artifacts that no job knows", extra=keys(uid=uid))

    def judged_inside(self, judged: Judged) -> Judged:
        """Return what refuses what `judged` does, and inside of that what this does."""

        def both(document: Document, live: Document | None) -> AbstractContextManager[None] | None:
            inside, digests = judged(document, live), uploaded.referred_by(document)
            return self._held(document, digests, inside) if digests else inside

        return both

    @contextmanager
    def _held(
        self, document: Document, digests: Collection[str], inside: AbstractContextManager[None] | None
    ) -> Iterator[None]:
        with inside or nullcontext(), self.contents.held(document["metadata"].get("namespace", ""), digests):
            self.judge(document)
            yield

    def judge(self, document: Mapping[str, Any]) -> None:
        """Refuse to store a job with uploads that are not here, or do not fit; other objects have none.

        Raises:
            Invalid: it names each, and what to do.
        """
        if document.get("kind") != JOB.name or not any(map(_is_uploaded, document["spec"].get("files") or ())):
            return
        metadata, spec = document["metadata"], JobSpec.model_validate(document["spec"])
        causes = uploaded.judge(metadata.get("namespace", ""), spec, self.contents, self._usual_work_bytes)
        if causes:
            raise Invalid.of(admission.about_kind(JOB, metadata.get("name", "")), causes)

    def collect(self) -> None:
        """Remove what nobody refers to, and what nobody goes on with."""
        self.uploads.sweep()
        self.contents.collect(lambda: uploaded.referred(self._storage))


def _is_uploaded(file: Mapping[str, Any]) -> bool:
    return file.get("upload") is not None
