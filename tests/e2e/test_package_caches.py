"""The cache of a runtime's package manager, through a real daemon: kept from job to job, apart from other runtimes'."""

import hashlib
from collections.abc import Iterator

import pytest

from controller.sandbox.spec import NEUTRAL_ID
from support.runtime_place import HERE, Place, a_place
from support.shell_runtime import shell_package

# httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

MANAGED = "package_manager: {type: pip, cache_volume: pip-cache}"
# As pip keeps what it fetched: made aside, below directories named by a hash, readable by its owner only; then renamed.
KEY = hashlib.sha224(b"https://example.org/simple/flask/").hexdigest()
ENTRY = f'"$PIP_CACHE_DIR"/http-v2/{KEY[0]}/{KEY[1]}'
KEEP = f"umask 077; mkdir -p {ENTRY}; echo wheel > {ENTRY}/tmp.{KEY}; echo kept > {ENTRY}/{KEY}"
LOOK = f"cat {ENTRY}/{KEY}"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    with a_place(tmp_path_factory.mktemp("registry")) as place:
        for name, rest in (("one", MANAGED), ("two", MANAGED), ("plain", "")):
            place.registry.add(name, "1.0.0", shell_package(name, "1.0.0", rest=rest), platforms=[HERE])
        yield place


@pytest.mark.invariant("X20")
def test_what_a_package_manager_keeps_is_there_for_later_jobs_of_the_runtime_only(place):
    place.output("keeps", f'echo "$PIP_CACHE_DIR"; {KEEP}', runtime="one")

    assert place.output("finds", LOOK, runtime="one") == "kept\n"
    assert place.output("other", f"{LOOK} 2>/dev/null || ls /volumes/pip-cache", runtime="two") == ""
    assert place.output("none", 'echo "$PIP_CACHE_DIR"; ls /', runtime="plain").count("volumes") == 0
    kept = place.daemon.root / "var/lib/runwright/caches/runtimes/one/pip-cache/http-v2"
    assert {path.stat().st_uid for path in kept.rglob("*")} == {NEUTRAL_ID}


def test_a_job_that_names_its_own_directory_is_not_contradicted(place):
    own = [{"name": "PIP_CACHE_DIR", "value": "/work/mine"}]

    assert place.output("own", 'echo "$PIP_CACHE_DIR"', runtime="one", env=own) == "/work/mine\n"


def test_the_status_says_where_the_cache_is(place):
    place.output("told", "true", runtime="one")

    assert place.daemon.status("told")["runs"][0]["packageCache"] == "/volumes/pip-cache"
