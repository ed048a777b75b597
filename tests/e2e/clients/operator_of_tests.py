"""An operator made with kopf, run by tests as users run theirs: it does what each annotation of a job asks for."""

import kopf

KIND = ("runwright.dev", "v1alpha1", "jobs")
FINALIZER = "tests.example.com/operator"


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_):
    settings.persistence.finalizer = FINALIZER
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="tests.example.com")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="tests.example.com")
    settings.watching.server_timeout = 60


@kopf.index(*KIND)
def by_team(name, labels, **_):
    return {labels.get("team", "none"): name}


@kopf.on.create(*KIND)
def created(patch, by_team: kopf.Index, **_):
    patch.metadata.annotations["seen"] = "created"
    patch.metadata.annotations["team-data"] = ",".join(sorted(by_team.get("data", ())))


@kopf.on.resume(*KIND)
def resumed(patch, **_):
    patch.metadata.annotations["resumed"] = "yes"


@kopf.on.update(*KIND, field="spec.backoffLimit")
def updated(old, new, patch, **_):
    patch.metadata.annotations["changed"] = f"{old}->{new}"


@kopf.on.create(*KIND, annotations={"stubborn": "yes"})
def retried(retry, patch, **_):
    if retry < 2:
        raise kopf.TemporaryError("not yet", delay=0.1)
    patch.metadata.annotations["tries"] = str(retry)


@kopf.on.create(*KIND, annotations={"hopeless": "yes"})
def given_up(body, **_):
    kopf.warn(body, reason="Hopeless", message="it will never be")
    raise kopf.PermanentError("never")


@kopf.on.delete(*KIND)
def deleted(name, namespace, **_):
    print(f"deleting {namespace}/{name}", flush=True)


@kopf.timer(*KIND, interval=0.2, annotations={"ticking": "yes"})
def ticks(memo, patch, annotations, **_):
    memo.count = memo.get("count", 0) + 1
    if memo.count == 3:
        patch.metadata.annotations["ticks"] = "3"


@kopf.daemon(*KIND, annotations={"guarded": "yes"})
async def guarded(stopped, name, namespace, **_):
    print(f"guarding {namespace}/{name}", flush=True)
    await stopped.wait()
    print(f"guarded {namespace}/{name}", flush=True)


@kopf.on.field(*KIND, field="status.phase")
def phase(new, patch, **_):
    patch.metadata.annotations["phase"] = str(new)


@kopf.on.event("v1", "pods")
def pod(name, status, **_):
    print(f"pod {name} {status.get('phase')}", flush=True)
