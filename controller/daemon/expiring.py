"""What proofs of users are over for good: tokens and certificates that ended some time ago are removed.

They let nobody in since their end; until then they are kept, for people to see why something does not work any more.
"""

import logging
from datetime import datetime, timedelta

from api.errors import ApiError
from api.kinds import CERTIFICATE, TOKEN
from api.meta import Document, read_time
from api.objects.verbs import Verbs
from controller.engine.clock import Clock

_log = logging.getLogger(__name__)
KEPT = timedelta(days=7)


class Expiring:
    """Removes them."""

    def __init__(self, verbs: Verbs, clock: Clock) -> None:
        """Delete by `verbs`."""
        self._verbs = verbs
        self._clock = clock

    def sweep(self) -> int:
        """Remove what ended a week ago or earlier; return how many objects that were."""
        before, removed = self._clock.now() - KEPT, 0
        for kind in (TOKEN, CERTIFICATE):
            for item in self._verbs.list(kind).items:
                if not _ended_before(item, before):
                    continue
                metadata = item["metadata"]
                try:
                    self._verbs.delete(kind, "", metadata["name"], uid=metadata["uid"])
                except ApiError as error:
                    _log.warning(
                        "cannot remove what is over", extra={"name": metadata["name"], "problem": error.message}
                    )
                else:
                    removed += 1
        return removed


def _ended_before(item: Document, moment: datetime) -> bool:
    try:
        return read_time(item["spec"]["expires"]) <= moment
    except (KeyError, ValueError):
        return False  # What cannot be read lets nobody in either, and somebody should see it.
