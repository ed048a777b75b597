"""A run's environment: base, the runtime's, its package cache's, PATH_PREPEND, its devices', then the job's own. Pure.

It starts from nothing: no variable of the daemon or the host reaches a job. JOB_ names are set
here and cannot be set by a job; PATH_PREPEND is an instruction to us, not a variable.
"""

from collections.abc import Mapping

from api.types.job import Job
from api.types.job_many import INDEX_VARIABLE
from controller.job import history, package_cache
from controller.job.observed import PackageCache

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BASE = {"PATH": DEFAULT_PATH, "HOME": "/work", "USER": "root", "LANG": "C.UTF-8", "TERM": "dumb"}
_PREPEND = "PATH_PREPEND"
_LIBRARIES = "LD_LIBRARY_PATH"
_NONE: Mapping[str, str] = {}


def environment(
    job: Job,
    attempt: int,
    runtime: Mapping[str, str],
    cache: PackageCache | None = None,
    devices: Mapping[str, str] = _NONE,
) -> dict[str, str]:
    """Return the environment of run `attempt`, given those of its runtime, its package cache and its devices."""
    merged = _BASE | {name: value for name, value in runtime.items() if name != _PREPEND}
    merged |= package_cache.variables(package_cache.of(job, cache), runtime)
    if prepend := runtime.get(_PREPEND):
        merged["PATH"] = f"{prepend}:{merged['PATH']}"
    merged |= _over(devices, merged.get(_LIBRARIES, ""))
    merged |= _over({variable.name: variable.value for variable in job.spec.env}, devices.get(_LIBRARIES, ""))
    index = history.index_of(job, attempt)
    return merged | {
        "JOB_ID": f"{job.meta.uid}-{attempt}",
        "JOB_NAME": job.meta.name,
        "JOB_NAMESPACE": job.meta.namespace,
        "JOB_ATTEMPT": str(attempt),
        **({} if index is None else {INDEX_VARIABLE: str(index)}),
    }


def _over(own: Mapping[str, str], libraries: str) -> dict[str, str]:
    """Return `own`, with `libraries` searched after its own: who names more of them takes no device's away."""
    if _LIBRARIES not in own or not libraries:
        return dict(own)
    return {**own, _LIBRARIES: f"{own[_LIBRARIES]}:{libraries}"}
