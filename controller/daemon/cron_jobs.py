"""The CronJob kind with all its parts, as the daemon has it."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from api.objects.verbs import Verbs
from controller.cron_job.act import Actor
from controller.cron_job.children import Children
from controller.cron_job.explain import CronJobExplainer
from controller.cron_job.kind import CronJobKind
from controller.cron_job.metrics import CronMetrics
from controller.cron_job.observe import Observer, host_zone
from controller.cron_job.starts import Starts
from controller.engine.ahead import Ahead
from controller.engine.clock import Clock
from controller.engine.recorder import Recorder


@dataclass(frozen=True, slots=True)
class CronJobs:
    """What the engine and the API need of CronJobs."""

    kind: CronJobKind
    children: Children
    starts: Starts
    explainer: CronJobExplainer


def make(clock: Clock, verbs: Verbs, recorder: Recorder, metrics: CollectorRegistry, cpus: int) -> CronJobs:
    """Put the parts together; CronJobs that name no time zone have that of this host, which has so many CPUs."""
    storage = verbs.storage
    children, starts = Children(storage, clock), Starts()
    observer = Observer(clock, storage, children, starts, host_zone(), Ahead(cpus))
    actor = Actor(clock, verbs, starts, recorder, CronMetrics(metrics))
    kind, explainer = CronJobKind(clock, observer, actor, starts), CronJobExplainer(storage, observer)
    return CronJobs(kind, children, starts, explainer)
