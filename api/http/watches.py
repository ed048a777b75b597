"""Watches: what was there, then every change after it, as lines of JSON.

Subscribe first, then read: nothing is lost between the two. A selector is judged before and after
each change, so that an object that stops matching is DELETED to this watcher, and one that starts is
ADDED. Source: Kubernetes API concepts, "Efficient detection of changes".
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from api.errors import ApiError, BadRequest
from api.http import answers, tables
from api.http.feed import Feed, Threads
from api.http.negotiation import View
from api.http.tables import Showing
from api.meta import Document
from api.objects.listing import Page
from api.objects.projections import Source, Step
from api.objects.selectors import Selector
from api.ports import Change

BOOKMARK_SECONDS = 60.0
LONGEST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Watch:
    """What a client wants to watch; `since` None begins with what is there."""

    namespace: str | None
    selector: Selector
    view: View
    since: int | None = None
    bookmarks: bool = False
    ends_initial: bool = False
    seconds: float = LONGEST_SECONDS
    """Below 0 it is over before it begins, as for Kubernetes. Source: apiserver, endpoints/handlers/get.go."""
    include: str = "Metadata"


def since_of(resource_version: str) -> int | None:
    """Return the revision that a watch starts after; none and 0 begin with what is there.

    Raises:
        BadRequest: it is not one of ours.
    """
    if resource_version in ("", "0"):
        return None
    if not (resource_version.isascii() and resource_version.isdigit() and len(resource_version) < 19):
        raise BadRequest(f'cannot read resourceVersion "{resource_version[:40]}": it is not one of ours')
    return int(resource_version)


class Watcher:
    """One watch, as a stream of lines."""

    def __init__(self, watch: Watch, source: Source, feed: Feed, threads: Threads, now: Callable[[], datetime]) -> None:
        """Watch `source` as `watch` says."""
        self._watch = watch
        self._source = source
        self._feed = feed
        self._threads = threads
        self._now = now
        self._is_first = True

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Yield the events until the time is over, the server stops, or the history is gone."""
        if self._watch.seconds < 0:
            return
        end = self._clock() + self._watch.seconds
        with self._feed.watching() as wake:
            try:
                position, first = await self._begin()
                for line in first:
                    yield line
                bookmark_at = self._clock() + BOOKMARK_SECONDS
                while self._clock() < end and not self._feed.ended.is_set():
                    wake.clear()
                    batch = await self._feed.after(position, self._source.followed or "")
                    for line in self._events(batch.changes):
                        yield line
                    position = batch.revision
                    if self._watch.bookmarks and self._clock() >= bookmark_at:
                        bookmark_at = self._clock() + BOOKMARK_SECONDS
                        yield self._bookmark(position)
                    if not batch.changes:
                        await _wait(wake, min(end, bookmark_at) - self._clock())
                if self._watch.bookmarks:
                    yield self._bookmark(position)
            except ApiError as error:
                yield answers.to_json({"type": "ERROR", "object": error.status()}) + b"\n"

    async def _begin(self) -> tuple[int, Iterator[bytes]]:
        """Return the revision to follow from, and the lines that come first."""
        if self._watch.since is not None:
            return self._watch.since, iter(())
        page = await self._threads.call(self._source.list, self._watch.namespace, self._watch.selector)
        return page.revision, self._initial(page)

    def _initial(self, page: Page) -> Iterator[bytes]:
        for item in page.items:
            yield self._line("ADDED", item)
        if self._watch.ends_initial:
            yield self._bookmark(page.revision, ends_initial=True)

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()

    def _events(self, changes: Iterable[Change]) -> Iterator[bytes]:
        for change in changes:
            if self._watch.namespace is not None and change.key.namespace != self._watch.namespace:
                continue
            for step in self._source.steps(change):
                event = transition(step, self._watch.selector)
                if event is not None:
                    yield self._changed(*event, change.revision)

    def _changed(self, type_: str, document: Document, revision: int) -> bytes:
        """Return the line of a change: of a Table, one of this watcher's own; else the one that all get."""
        if self._watch.view is View.TABLE or self._source.kind.confidential:
            return self._line(type_, _at(document, revision))
        self._is_first = False
        kind, metadata = self._source.kind, document["metadata"]
        named = metadata.get("namespace", ""), metadata["name"]
        key = (kind.group, kind.version, kind.plural, *named, self._watch.view, type_, revision)
        return self._feed.lines.of(key, lambda: self._line(type_, _at(document, revision)))

    def _showing(self) -> Showing:
        return Showing(self._source.kind, self._watch.view, self._now(), self._watch.include)

    def _line(self, type_: str, document: Document) -> bytes:
        event = tables.event(self._showing(), type_, document, with_columns=self._is_first)
        self._is_first = False
        return answers.to_json(event) + b"\n"

    def _bookmark(self, revision: int, *, ends_initial: bool = False) -> bytes:
        return answers.to_json(tables.bookmark(self._showing(), revision, ends_initial=ends_initial)) + b"\n"


def transition(step: Step, selector: Selector) -> tuple[str, Document] | None:
    """Return what a change is to a watcher with this selector: an event, or nothing.

    An object that leaves the selection is shown as it is now, as Kubernetes does.
    """
    was = step.before is not None and selector.matches(step.before)
    if step.after is not None and selector.matches(step.after):
        return ("MODIFIED" if was else "ADDED", step.after)
    if was and step.before is not None:
        return ("DELETED", step.after if step.after is not None else step.before)
    return None


def _at(document: Document, revision: int) -> Document:
    """Return the document with the revision of the change, which a deleted one does not have yet."""
    metadata = document["metadata"]
    if metadata.get("resourceVersion") == str(revision):
        return document
    return document | {"metadata": metadata | {"resourceVersion": str(revision)}}


async def _wait(wake: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await wake.wait()
    except TimeoutError:
        return
