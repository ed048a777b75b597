"""The package manager's cache of a runtime, as a run sees it: where it is, and the variables that make the tool use it.

Pure. Where it lies on the host, and how large it gets, is `daemon.package_caches`' to say.
Invariant: a variable that the runtime or the job sets itself is left as it is.
"""

from collections.abc import Mapping
from dataclasses import replace

from api.types.job import Job
from controller.job.observed import PackageCache
from controller.sandbox.spec import Bind, Scratch

PRIVATE = "private: "
"""What is told of a cache that is one run's alone begins so; why follows."""

_MAVEN_OPTS = "MAVEN_OPTS"
_MAVEN_REPOSITORY = "-Dmaven.repo.local="

# Each tool's own words for "keep what you downloaded there". `{}` is the directory.
_VARIABLES: Mapping[str, Mapping[str, str]] = {
    "pip": {"PIP_CACHE_DIR": "{}"},
    "pipenv": {"PIP_CACHE_DIR": "{}/pip", "PIPENV_CACHE_DIR": "{}/pipenv"},
    "poetry": {"POETRY_CACHE_DIR": "{}"},
    "uv": {"UV_CACHE_DIR": "{}"},
    "conda": {"CONDA_PKGS_DIRS": "{}"},
    "npm": {"npm_config_cache": "{}"},
    "pnpm": {"npm_config_store_dir": "{}/store", "npm_config_cache_dir": "{}/cache"},
    "yarn": {"YARN_CACHE_FOLDER": "{}", "YARN_GLOBAL_FOLDER": "{}/global"},  # Version 1; 2 and later.
    "maven": {_MAVEN_OPTS: _MAVEN_REPOSITORY + "{}"},  # Not MAVEN_ARGS, which is read from 3.9 on only.
    "gradle": {"GRADLE_USER_HOME": "{}"},
    "go": {"GOMODCACHE": "{}/mod", "GOCACHE": "{}/build"},
    "cargo": {"CARGO_HOME": "{}"},
    "bundler": {"BUNDLE_USER_CACHE": "{}"},
    "composer": {"COMPOSER_CACHE_DIR": "{}"},
    "nuget": {"NUGET_PACKAGES": "{}"},
}


def place(cache: PackageCache) -> str:
    """Return where runs see it.

    >>> place(PackageCache("pip", "pip-cache"))
    '/volumes/pip-cache'
    """
    return cache.at or f"/volumes/{cache.volume}"


def of(job: Job, cache: PackageCache | None) -> PackageCache | None:
    """Return the cache of a run of `job`: a volume that the job names like it, or puts in its place, is the cache."""
    if cache is None:
        return None
    for volume in job.spec.volume_mounts:
        if volume.name == cache.volume or volume.place == place(cache):
            return replace(cache, directory="", problem="", at=volume.place)
    return cache


def told(cache: PackageCache | None) -> str:
    """Return what a run's status says of it.

    >>> told(PackageCache("pip", "p", problem="cannot keep it")), told(PackageCache("pip", "p", "/var/p")), told(None)
    ('private: cannot keep it', '/volumes/p', '')
    """
    if cache is None:
        return ""
    return f"{PRIVATE}{cache.problem}" if cache.problem else place(cache)


def mount(cache: PackageCache | None, private_bytes: int) -> Bind | Scratch | None:
    """Return what brings it to its place: the host's directory, or an empty one of `private_bytes` at most.

    None where there is no cache, or a volume of the job is one.
    """
    if cache is None or cache.at:
        return None
    if not cache.directory:
        return Scratch(place(cache), private_bytes)
    return Bind(cache.directory, place(cache), read_only=False, neutral_owners=True)


def variables(cache: PackageCache | None, runtime: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for it, beside those that the runtime sets; none for a tool that is not known.

    >>> variables(PackageCache("pip", "pip-cache"), {})
    {'PIP_CACHE_DIR': '/volumes/pip-cache'}
    >>> variables(PackageCache("maven", "m2"), {"MAVEN_OPTS": "-Xmx64m"})
    {'MAVEN_OPTS': '-Xmx64m -Dmaven.repo.local=/volumes/m2'}
    """
    if cache is None:
        return {}
    known = _VARIABLES.get(cache.tool.lower(), {})
    wanted = {name: text.format(place(cache)) for name, text in known.items()}
    options = runtime.get(_MAVEN_OPTS, "")
    if _MAVEN_OPTS in wanted and options and _MAVEN_REPOSITORY not in options:
        return {_MAVEN_OPTS: f"{options} {wanted[_MAVEN_OPTS]}"}
    return {name: text for name, text in wanted.items() if name not in runtime}
