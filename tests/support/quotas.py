"""Verbs under quotas, on a real store."""

from pathlib import Path

from api.objects.verbs import Verbs
from controller.job import charges
from controller.job.priorities import Priorities
from controller.job.requests import RequestDefaults
from controller.resource_quota.book import QuotaBook
from state.store import Store
from support.hand_clock import HandClock
from support.objects import by

ME = by("me")
MERGE = "application/merge-patch+json"
DEFAULTS = RequestDefaults(5, 16 << 20, 16 << 20)


def a_book(store: Store) -> QuotaBook:
    """What counts the jobs of a store, as the daemon has it."""
    default_class = Priorities(store).default_name
    return QuotaBook(store, lambda job: charges.of(job, DEFAULTS), charges.is_over, charges.begins_again, default_class)


class QuotaPlace:
    """A store, its book, and the verbs that go by it."""

    def __init__(self, path: Path) -> None:
        self.store = Store.open(path / "store.db", HandClock())
        self.book = a_book(self.store)
        self.verbs = Verbs(self.store, HandClock(), self.book.charged)
        self.verbs.bootstrap()
