"""The queue and the quotas, made of their settings and plugged into the rest. Never here: what they do."""

from collections.abc import Callable

from api.kinds import JOB, NODE, PRIORITY_CLASS
from api.meta import ObjectKey
from api.ports import Change
from controller.capacity.amounts import Amounts
from controller.daemon.settings import Settings
from controller.engine.clock import Clock
from controller.job import charges
from controller.job.announce import JobMetrics
from controller.job.capacity import Capacity
from controller.job.priorities import Priorities
from controller.job.run_dirs import RunDirs
from controller.resource_quota.book import QuotaBook
from state.store import Store


def open_capacity(
    settings: Settings,
    store: Store,
    dirs: RunDirs,
    clock: Clock,
    allocatable: Callable[[], Amounts],
    wake: Callable[[ObjectKey], None],
    metrics: JobMetrics,
    node_name: str,
) -> Capacity:
    """Return the book of what runs are promised of `allocatable()`; `wake` is called for jobs whose turn it is."""
    return Capacity(allocatable, store, dirs, clock, wake, settings.queue.rules(), metrics.waited, node_name)


def open_quotas(settings: Settings, store: Store) -> QuotaBook:
    """Return the book of what namespaces use, as jobs count."""
    defaults = settings.queue.rules().defaults
    default_class = Priorities(store).default_name
    return QuotaBook(store, lambda job: charges.of(job, defaults), charges.is_over, charges.begins_again, default_class)


def watched(capacity: Capacity) -> tuple[tuple[str, Callable[[Change], tuple[ObjectKey, ...]]], ...]:
    """Return the kinds whose changes the queue is told of, each with what it is told by."""
    return (
        (JOB.name, capacity.forget),
        (PRIORITY_CLASS.name, capacity.reorder),
        (NODE.name, capacity.look_at_node),
    )
