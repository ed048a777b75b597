"""What becomes of the content of runtimes, through a real daemon, real builds and rnx: told, remembered, accepted."""

from collections.abc import Iterator

import pytest

from api.kinds import RUNTIME
from api.meta import Document
from support.runtime_place import Place, a_place

# httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

MADE = "isolated/opt/made"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    with a_place(tmp_path_factory.mktemp("registry")) as place:
        yield place


def says(place: Place, name: str, kind: str, reason: str) -> Document:
    """Wait until a condition has `reason`; return it."""

    def said() -> Document | None:
        conditions = place.runtime(name).get("status", {}).get("conditions", ())
        return next((dict(c) for c in conditions if c["type"] == kind and c["reason"] == reason), None)

    found: Document = place.daemon.until(f"{name} says {reason}", said, 30)
    return found


@pytest.mark.invariant("I11")
def test_a_heal_of_a_build_that_makes_another_tree_is_told_after_a_restart_too_until_it_is_accepted(place):
    build = {"base": {"from": "host"}, "run": ["mkdir -p /opt; date +%s.%N > /opt/made"]}
    place.declare(RUNTIME, "dated", build=build)
    place.daemon.until("dated is installed", lambda: place.versions("dated").get("1.0.0", {}).get("digest"), 60)
    first = place.versions("dated")["1.0.0"]["digest"]
    assert says(place, "dated", "DigestMismatch", "SameContent")["status"] == "False"
    loose = says(place, "dated", "Reproducible", "InputsUnpinned")
    assert (loose["status"], "the files of this host" in loose["message"]) == ("False", True)

    (place.root / "dated-1.0.0" / MADE).write_text("changed by hand")
    assert place.daemon.rnx("runtime", "verify", "dated").returncode == 1
    told = says(place, "dated", "DigestMismatch", "ContentChanged")
    second = place.versions("dated")["1.0.0"]["digest"]
    assert (told["status"], first != second) == ("True", True)
    assert f"sha256:{first}" in told["message"]
    assert f"sha256:{second}" in told["message"]

    place.daemon.kill_daemon()
    place.daemon.start()
    assert place.daemon.rnx("runtime", "verify", "dated").returncode == 0
    assert says(place, "dated", "Verified", "Verified")["status"] == "True"
    assert says(place, "dated", "DigestMismatch", "ContentChanged")["message"] == told["message"]
    described = place.daemon.rnx("describe", "runtime/dated").stdout
    info = place.daemon.rnx("runtime", "info", "dated").stdout
    assert "DigestMismatch" in described
    assert f"Former Digest:    {first}, since" in info
    assert "Reproducible:     False: not pinned: the files of this host" in info

    said = place.daemon.rnx("runtime", "accept", "dated@1.0.0")
    assert (said.returncode, said.stdout) == (0, "Runtime dated: accepted 1.0.0\n")
    assert says(place, "dated", "DigestMismatch", "SameContent")["status"] == "False"
    assert place.versions("dated")["1.0.0"]["formerDigest"] == ""
