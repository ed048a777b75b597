"""A run's environment: base, the runtime's, its package cache's, then PATH_PREPEND, then the job's own. Pure.

It starts from nothing: no variable of the daemon or the host reaches a job. JOB_ names are set
here and cannot be set by a job; PATH_PREPEND is an instruction to us, not a variable.
"""

from collections.abc import Mapping

from api.types.job import Job
from controller.job import package_cache
from controller.job.observed import PackageCache

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BASE = {"PATH": DEFAULT_PATH, "HOME": "/work", "USER": "root", "LANG": "C.UTF-8", "TERM": "dumb"}
_PREPEND = "PATH_PREPEND"


def environment(
    job: Job, attempt: int, runtime: Mapping[str, str], cache: PackageCache | None = None
) -> dict[str, str]:
    """Return the environment of run `attempt`, given the environment of its runtime and its package cache."""
    merged = _BASE | {name: value for name, value in runtime.items() if name != _PREPEND}
    merged |= package_cache.variables(cache, runtime)
    if prepend := runtime.get(_PREPEND):
        merged["PATH"] = f"{prepend}:{merged['PATH']}"
    merged |= {variable.name: variable.value for variable in job.spec.env}
    return merged | {
        "JOB_ID": f"{job.meta.uid}-{attempt}",
        "JOB_NAME": job.meta.name,
        "JOB_NAMESPACE": job.meta.namespace,
        "JOB_ATTEMPT": str(attempt),
    }
