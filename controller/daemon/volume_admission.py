"""Refuses volumes that could never be made of what they name: too small for it, or of themselves.

What is judged is in `volume.sources`; it is judged again when the volume is made, since a manifest may come before what
it names. Never here: what else may keep a volume from being made.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from api.errors import Cause, Invalid
from api.kinds import VOLUME
from api.meta import Document, ObjectKey
from api.objects import admission
from api.objects.verbs import Judged
from api.types.volume import VolumeSpec
from controller.volume import sources


class VolumeAdmission:
    """Refuses them, and hands the rest on."""

    def __init__(self, get: Callable[[ObjectKey], Document | None], judged: Judged) -> None:
        """Read what volumes are made of with `get`; `judged` is asked about each object after that."""
        self._get = get
        self._judged = judged

    def judged(self, document: Document, live: Document | None) -> AbstractContextManager[None] | None:
        """Judge an object that was `live`; return what it is to be stored inside of, as `judged` does.

        Raises:
            Invalid: it is a volume that cannot be made.
        """
        if document.get("kind") == VOLUME.name and not (live or {}).get("status", {}).get("made"):
            self._judge(document)
        return self._judged(document, live)

    def _judge(self, document: Document) -> None:
        of, key = sources.source_of(document), ObjectKey.of(document)
        # Its own name is enough to know that it is itself: it is not there yet.
        source = document if of == key else self._get(of) if of is not None else None
        if source is None or source["metadata"].get("deletionTimestamp"):
            return
        if never := sources.why_never(key, VolumeSpec.model_validate(document["spec"]), source):
            cause = Cause(never.field, "FieldValueInvalid", f"Invalid value: {never.why}")
            raise Invalid.of(admission.about_kind(VOLUME, key.name), [cause])
