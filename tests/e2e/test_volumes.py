"""Volumes through a real daemon: what jobs keep, for whom, how much of it, and what becomes of it when somebody is killed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.errors import Forbidden
from api.kinds import RESOURCE_QUOTA, VOLUME, VOLUME_SNAPSHOT
from controller.linux import mountinfo
from controller.sandbox.spec import NEUTRAL_ID
from support.daemon import Daemon, a_daemon

# httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
COUNTED = "count/volumesnapshots.runwright.dev"
OF_SNAPSHOT = {"kind": "VolumeSnapshot", "name": "eight"}
QUICK = {"terminationGracePeriodSeconds": 1}


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("shared")
    (directory / "team").mkdir()
    (directory / "team" / "given").write_text("given")
    os.chown(directory / "team", 4711, 4712)
    (directory / "roots").mkdir()
    return directory


@pytest.fixture(scope="module")
def daemon(shared) -> Iterator[Daemon]:
    with a_daemon(f"policy.host_paths={{default: [{shared}]}}") as daemon:
        yield daemon


def declare(daemon, name, **spec):
    document = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Volume", "metadata": {"name": name}, "spec": spec}
    daemon.client.apply(VOLUME, "default", document)
    return ready(daemon, name)


def ready(daemon, name, status="True", reason=None):
    """Wait until a volume is ready, or is not, for a reason if one is named; return the condition."""

    def holds():
        told = daemon.get(VOLUME, name).get("status", {}).get("conditions", ())
        found = (c for c in told if (c["type"], c["status"]) == ("Ready", status))
        return next((c for c in found if reason in (None, c["reason"])), None)

    return daemon.until(f"volume {name} is ready: {status}, {reason or 'for any reason'}", holds)


def said(daemon, name, script, *mounts, **spec):
    """Run a job to its end; return what it said and its exit code."""
    daemon.shell(name, script, volumeMounts=[m if isinstance(m, dict) else {"name": m} for m in mounts], **spec)
    job = daemon.until(f"{name} is over", lambda: over(daemon, name))
    return daemon.rnx("logs", name).stdout, job["status"]["runs"][-1]["exitCode"]


def over(daemon, name):
    job = daemon.jobs().get(name)
    return job if job and job["status"].get("phase") in ("Succeeded", "Failed") else None


def waits(daemon, name, reason):
    def holds():
        status = daemon.jobs().get(name, {}).get("status", {})
        return status.get("message") if status.get("reason") == reason else None

    return daemon.until(f"{name} waits: {reason}", holds)


def mounted(daemon, filesystem="ext4"):
    entries = mountinfo.parse(Path("/proc/self/mountinfo").read_text())
    return [
        e.mount_point for e in entries if e.mount_point.startswith(f"{daemon.root}/") and e.filesystem == filesystem
    ]


def nothing_is_mounted(daemon):
    return daemon.until("nothing is mounted", lambda: not mounted(daemon))


@pytest.mark.invariant("V5")
def test_a_volume_is_mounted_inside_another_which_keeps_the_directory_for_it(daemon):
    for name in ("outer", "inner"):
        declare(daemon, name, size="8Mi")
    inside = {"name": "inner", "mountPath": "/volumes/outer/in/deep"}

    assert said(daemon, "nested", "echo kept > /volumes/outer/in/deep/file", "outer", inside) == ("", 0)

    script = "cat /volumes/inner/file; ls -d /volumes/outer/in/*; stat -c %u /volumes/outer/in/deep"
    assert said(daemon, "apart", script, "outer", "inner") == ("kept\n/volumes/outer/in/deep\n0\n", 0)
    read_only, other = {"name": "outer", "readOnly": True}, {"name": "inner", "mountPath": "/volumes/outer/lacks"}
    script = "cat /volumes/outer/lacks/file; ls /volumes/outer; touch /volumes/outer/x 2>/dev/null || echo shut"
    assert said(daemon, "over", script, read_only, other) == ("kept\nin\nlacks\nshut\n", 0)
    assert said(daemon, "after", "ls /volumes/outer", "outer") == ("in\n", 0)


def test_what_a_job_leaves_in_a_volume_every_later_job_owns_and_nobody_on_the_host(daemon):
    declare(daemon, "data", size="8Mi")
    said(daemon, "writes", "umask 077; mkdir /volumes/data/d; echo kept > /volumes/data/d/f", "data")

    assert said(daemon, "reads", "cat /volumes/data/d/f; echo more >> /volumes/data/d/f", "data") == ("kept\n", 0)
    assert said(daemon, "elsewhere", "cat /srv/x/d/f", {"name": "data", "mountPath": "/srv/x"}) == ("kept\nmore\n", 0)
    assert nothing_is_mounted(daemon)


def test_a_volume_mounted_read_only_cannot_be_written_to(daemon):
    declare(daemon, "kept", size="8Mi")
    said(daemon, "fills", "echo kept > /volumes/kept/f", "kept")

    mount = {"name": "kept", "readOnly": True}
    out, code = said(daemon, "tries", "cat /volumes/kept/f; echo x > /volumes/kept/f", mount)
    assert (out.splitlines()[0], code) == ("kept", 2)
    assert "Read-only file system" in out


def test_a_volume_nobody_declared_is_made_for_the_job(daemon):
    assert said(daemon, "asks", "df -P /volumes/undeclared | tail -1 | tr -s ' ' | cut -d' ' -f4", "undeclared") == (
        f"{1024 * 1024}\n", 0,
    )  # fmt: skip
    assert daemon.get(VOLUME, "undeclared")["spec"]["type"] == "filesystem"


@pytest.mark.invariant("V1")
def test_a_job_can_write_a_volume_full_and_not_a_block_more(daemon):
    declare(daemon, "small", size="1Mi")

    script = "head -c 1048576 /dev/zero > /volumes/small/a && echo fits; (echo x > /volumes/small/b) 2>&1 || echo full"
    out, _ = said(daemon, "full", script, "small")
    assert (out.splitlines()[0], out.splitlines()[-1]) == ("fits", "full")


@pytest.mark.invariant("V4")
def test_a_volume_for_one_run_at_a_time_is_waited_for_by_name(daemon):
    declare(daemon, "once", size="8Mi", accessModes=["ReadWriteOnce"])
    mount = [{"name": "once"}]
    daemon.shell(
        "first", "echo first > /volumes/once/f; echo wrote; mkfifo /tmp/f; read x < /tmp/f", volumeMounts=mount, **QUICK
    )
    assert daemon.printed("first", "wrote")
    daemon.shell("second", "cat /volumes/once/f", volumeMounts=mount, **QUICK)

    message = waits(daemon, "second", "VolumeInUse")
    assert message == "volume once is ReadWriteOnce, and run 1 of job/default/first has it"
    assert ready(daemon, "once", "True", "InUse")
    daemon.stop("first")
    assert daemon.until("second ran", lambda: over(daemon, "second"))["status"]["phase"] == "Succeeded"


@pytest.mark.invariant("V4")
def test_a_volume_for_many_readers_is_written_to_when_none_of_them_has_it_and_only_as_long_as_its_modes_say(daemon):
    declare(daemon, "book", size="8Mi", accessModes=["ReadWriteOnce", "ReadOnlyMany"])
    said(daemon, "author", "echo text > /volumes/book/f", "book")
    reads = "cat /volumes/book/f; mkfifo /tmp/f; read x < /tmp/f"
    for name in ("peruses", "peruses-too"):
        daemon.shell(name, reads, volumeMounts=[{"name": "book", "readOnly": True}], **QUICK)
    for name in ("peruses", "peruses-too"):
        assert daemon.printed(name, "text")
    daemon.shell("edits", "echo more >> /volumes/book/f", volumeMounts=[{"name": "book"}])

    assert "volume book is ReadWriteOnce, ReadOnlyMany, and run 1 of job/default/peruses" in waits(
        daemon, "edits", "VolumeInUse"
    )
    declare(daemon, "book", size="8Mi", accessModes=["ReadOnlyMany"])
    assert "volume book is ReadOnlyMany: nobody writes to it" in waits(daemon, "edits", "VolumeModeForbidden")
    declare(daemon, "book", size="8Mi", accessModes=["ReadWriteOnce", "ReadOnlyMany"])
    assert waits(daemon, "edits", "VolumeInUse")
    for name in ("peruses", "peruses-too"):
        daemon.stop(name)
    assert daemon.until("edits ran", lambda: over(daemon, "edits"))["status"]["phase"] == "Succeeded"


@pytest.mark.invariant("V1")
def test_a_volume_is_grown_while_a_job_writes_to_it_tells_how_full_it_is_and_is_retained_if_it_says_so(daemon):
    declare(daemon, "grows", size="8Mi", reclaimPolicy="Retain")
    fills = (
        "head -c 8388608 /dev/zero > /volumes/grows/a; until echo x > /volumes/grows/b; do echo full; done 2>/dev/null"
    )
    daemon.shell(
        "pours", f"{fills}; echo grown; mkfifo /tmp/f; read x < /tmp/f", volumeMounts=[{"name": "grows"}], **QUICK
    )
    assert daemon.printed("pours", "full")

    declare(daemon, "grows", size="9Mi", reclaimPolicy="Retain")

    assert daemon.printed("pours", "grown")
    volume = daemon.until("it is larger", lambda: sized(daemon, "grows", 9 << 20))
    assert (8 << 20) <= volume["status"]["usedBytes"] <= (8 << 20) + 4096
    assert daemon.jobs()["pours"]["status"].get("active") == 1
    for name, most in (("capacity_bytes", 9 << 20), ("users", 1)):
        assert daemon.metric(f"runwright_volume_{name}", namespace="default", volume="grows") == most
    assert daemon.until("its metrics say how full it is", lambda: metrics_say_how_full_it_is(daemon, "grows"))
    daemon.stop("pours")
    assert daemon.rnx("volume", "remove", "grows").returncode == 0
    kept = daemon.root / "var/lib/runwright/volumes/retained/default/grows" / volume["metadata"]["uid"]
    assert sorted(path.name for path in kept.iterdir() if path.name in ("image", "size")) == ["image", "size"]
    assert nothing_is_mounted(daemon)


def metrics_say_how_full_it_is(daemon, name):
    told = daemon.metric("runwright_volume_used_bytes", namespace="default", volume=name)
    return told == daemon.get(VOLUME, name)["status"]["usedBytes"]  # Which may have changed in between.


def sized(daemon, name, capacity):
    volume = daemon.get(VOLUME, name)
    return volume if volume["status"].get("capacityBytes") == capacity else None


@pytest.mark.invariant("V2")
def test_a_volume_that_a_run_has_is_not_removed_until_that_has_ended(daemon):
    declare(daemon, "busy", size="8Mi")
    daemon.shell("holds", "mkfifo /tmp/f; read x < /tmp/f", volumeMounts=[{"name": "busy"}], **QUICK)
    daemon.until("it runs", lambda: daemon.jobs()["holds"]["status"].get("active"))

    refused = daemon.rnx("volume", "remove", "busy")
    assert refused.returncode == 1
    assert "run 1 of job holds has it" in refused.stderr
    daemon.client.delete(VOLUME, "default", "busy")
    assert "run 1 of job/default/holds" in ready(daemon, "busy", "False")["message"]
    daemon.stop("holds")
    daemon.until("it is gone", lambda: not daemon.get(VOLUME, "busy"))


def test_jobs_write_to_a_directory_of_the_host_as_its_owner(daemon, shared):
    declare(daemon, "team", type="hostPath", path=f"{shared}/team")

    assert said(daemon, "host", "cat /volumes/team/given; echo made > /volumes/team/made", "team")[0] == "given"
    made = (shared / "team" / "made").stat()
    assert (made.st_uid, made.st_gid) == (4711, 4712)


def test_no_job_writes_to_a_directory_that_is_roots(daemon, shared):
    declare(daemon, "roots", type="hostPath", path=f"{shared}/roots")

    daemon.shell("root", "true", volumeMounts=[{"name": "roots"}])
    why = waits(daemon, "root", "FailedMount")
    assert "chown it to a user and group that are not root" in why
    assert f"at its last look: FailedMount: {why}" in daemon.rnx("explain", "job/root").stdout
    daemon.delete("root")
    assert said(daemon, "looks", "ls /volumes/roots", {"name": "roots", "readOnly": True}) == ("", 0)


def test_a_directory_that_the_policy_does_not_give_is_refused(daemon):
    document = {"metadata": {"name": "etc"}, "spec": {"type": "hostPath", "path": "/etc"}}
    daemon.client.apply(VOLUME, "default", {"apiVersion": "runwright.dev/v1alpha1", "kind": "Volume", **document})

    assert ready(daemon, "etc", "False", "PathForbidden")


def test_memory_keeps_what_it_holds_until_the_volume_is_removed(daemon):
    declare(daemon, "memory", type="memory", size="4Mi")
    said(daemon, "notes", "echo noted > /volumes/memory/f", "memory")

    assert said(daemon, "recalls", "cat /volumes/memory/f", "memory")[0] == "noted\n"
    assert daemon.rnx("volume", "remove", "memory").returncode == 0
    assert mounted(daemon, "tmpfs") == []


def test_the_command_line_makes_volumes_of_joblets_sizes_lists_and_removes_them(daemon):
    made = daemon.rnx("volume", "create", "sets", "--size=1.5GB")
    assert (made.returncode, made.stdout) == (0, "Volume created successfully: sets (1.5Gi, filesystem)\n")
    assert "AlreadyExists" in daemon.rnx("volume", "create", "sets", "--size=1GB").stderr
    assert daemon.rnx("volume", "create", "x", "--size=10").returncode == 2

    ran = daemon.rnx(
        "run", "--volume=sets:/sets", "--volume=sets:/sets", "sh", "-c", "echo hello > /sets/f; cat /sets/f"
    )
    assert (ran.stdout, ran.returncode) == ("hello\n", 0)
    assert "sets" in daemon.rnx("volume", "list").stdout
    assert daemon.rnx("volume", "remove", "sets").returncode == 0


@pytest.mark.invariant("V6")
def test_a_snapshot_is_of_one_moment_of_a_volume_that_a_job_writes_to_and_volumes_are_made_of_it(daemon):
    declare(daemon, "live", size="8Mi")
    # Each round is whole before the next begins, so that a moment between two of them, or in one, can be told.
    writes = "i=0; while :; do i=$((i+1)); echo $i > /volumes/live/new; mv /volumes/live/new /volumes/live/n; done"
    daemon.shell("writer", writes, volumeMounts=[{"name": "live"}], **QUICK)
    daemon.until("it runs", lambda: daemon.jobs()["writer"]["status"].get("active"))

    taken = daemon.rnx("volume", "snapshot", "create", "moment", "--volume=live")
    assert (taken.returncode, taken.stdout) == (0, "Snapshot moment taken: 8Mi of volume live\n"), taken.stderr
    made = daemon.rnx("volume", "create", "again", "--from-snapshot=moment", "--size=9MB")
    assert (made.returncode, made.stdout) == (0, "Volume created successfully: again (9Mi, filesystem)\n"), made.stderr
    assert daemon.jobs()["writer"]["status"].get("active") == 1
    daemon.stop("writer")
    daemon.until("it ended", lambda: over(daemon, "writer"))

    then, _ = said(daemon, "then", "cat /volumes/again/n", "again")
    now, _ = said(daemon, "now", "cat /volumes/live/n", "live")
    assert 1 <= int(then) < int(now)
    assert said(daemon, "room", "df -P /volumes/again | tail -1 | tr -s ' ' | cut -d' ' -f4", "again")[0] in (
        "9208\n",
        "9212\n",
    )
    snapshot = daemon.get(VOLUME_SNAPSHOT, "moment")["status"]
    assert (snapshot["readyToUse"], snapshot["restoreSize"]) == (True, "8Mi")
    assert daemon.metric("runwright_volume_snapshot_ready", namespace="default", snapshot="moment") == 1
    assert daemon.rnx("volume", "snapshot", "list").stdout.splitlines()[1].split()[:4] == [
        "moment",
        "live",
        "true",
        "8Mi",
    ]
    daemon.client.delete(VOLUME, "default", "live")
    assert daemon.rnx("volume", "snapshot", "delete", "moment").returncode == 0


def test_a_volume_that_can_never_be_made_of_a_snapshot_is_refused_and_does_not_keep_it(daemon):
    head = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Volume"}
    early = head | {"metadata": {"name": "early"}, "spec": {"size": "4Mi", "dataSource": OF_SNAPSHOT}}
    daemon.client.apply(VOLUME, "default", early)
    declare(daemon, "whole", size="8Mi")
    assert daemon.rnx("volume", "snapshot", "create", "eight", "--volume=whole").returncode == 0

    daemon.until("it is told", lambda: "SourceUnusable" in daemon.rnx("describe", "volume", "early").stdout)
    small = daemon.rnx("volume", "create", "small", "--from-snapshot=eight", "--size=4MB")
    assert (small.returncode, "ask for 8Mi or more" in small.stderr) == (1, True), small.stderr
    assert daemon.rnx("volume", "snapshot", "delete", "eight", "--timeout=30s").returncode == 0
    gone = daemon.rnx("volume", "create", "gone", "--from-snapshot=eight")
    assert gone.stderr == (
        'error: there is no VolumeSnapshot "eight" in namespace default: rnx volume snapshot list shows all\n'
    )
    assert "NotFound" in daemon.rnx("get", "volume", "gone").stderr
    daemon.rnx("delete", "volume", "early")


def test_a_damaged_volume_is_not_ready_and_says_what_is_wrong_until_it_is_mended(daemon):
    declare(daemon, "worn", size="1Mi")
    image = daemon.root / "var/lib/runwright/volumes" / daemon.get(VOLUME, "worn")["metadata"]["uid"] / "image"
    with image.open("r+b") as file:
        before = file.read(16384)
        file.seek(0)
        file.write(b"\xff" * 16384)

    daemon.shell("wants-it", "echo had it", volumeMounts=[{"name": "worn"}])

    told = ready(daemon, "worn", "False", "Damaged")
    assert "e2fsck says: ext2fs_open2: Bad magic number" in told["message"]
    why = "its file system is damaged: e2fsck says"
    # The job has had other words before: that its run is about to start.
    assert daemon.until("the job says so", lambda: why in daemon.status("wants-it").get("message", ""))
    with image.open("r+b") as file:
        file.write(before)
    daemon.client.merge_patch(VOLUME, "default", "worn", {"spec": {"accessModes": ["ReadWriteOnce"]}})  # To look again.
    assert daemon.until("it runs", lambda: over(daemon, "wants-it"))["status"]["phase"] == "Succeeded"


def test_what_is_not_ready_in_time_is_told_with_the_reason(daemon):
    head = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Volume"}
    waits_too = head | {"metadata": {"name": "later"}, "spec": {"dataSource": {"name": "never"}}}
    daemon.client.apply(VOLUME, "default", waits_too)

    late = daemon.rnx("volume", "create", "late", "--copy-of=later", "--timeout=1s")

    assert late.returncode == 4
    assert "not ready in time: SourceNotReady: Volume later is not ready: " in late.stderr
    assert daemon.rnx("delete", "volume", "late", "later").returncode == 0


def test_no_snapshot_is_taken_of_what_is_no_filesystem_and_its_status_says_so(daemon):
    declare(daemon, "fleeting", type="memory", size="1Mi")

    refused = daemon.rnx("volume", "snapshot", "create", "impossible", "--volume=fleeting")

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "SourceUnsupported: volume fleeting is of the type memory" in refused.stderr
    assert daemon.rnx("volume", "snapshot", "delete", "impossible").returncode == 0


@pytest.mark.invariant("V6")
def test_a_volume_that_is_deleted_is_still_made_into_what_was_asked_of_it_before(daemon):
    declare(daemon, "short", size="8Mi")
    said(daemon, "puts", "echo kept > /volumes/short/f", "short")
    head = {"apiVersion": "runwright.dev/v1alpha1"}
    quota = {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "few"}}
    daemon.client.apply(RESOURCE_QUOTA, "default", quota | {"spec": {"hard": {COUNTED: "1"}}})
    asked = head | {"kind": "VolumeSnapshot", "metadata": {"name": "last"}, "spec": {"source": {"volumeName": "short"}}}
    daemon.client.apply(VOLUME_SNAPSHOT, "default", asked)
    daemon.client.delete(VOLUME, "default", "short")

    with pytest.raises(Forbidden, match="exceeded quota: few"):
        daemon.client.apply(VOLUME_SNAPSHOT, "default", asked | {"metadata": {"name": "one-more"}})
    daemon.until("it is taken", lambda: daemon.get(VOLUME_SNAPSHOT, "last")["status"].get("readyToUse"))
    daemon.until("the volume is gone", lambda: not daemon.get(VOLUME, "short"))
    declare(daemon, "short", dataSource={"kind": "VolumeSnapshot", "name": "last"})
    assert said(daemon, "has", "cat /volumes/short/f", "short")[0] == "kept\n"
    daemon.client.delete(RESOURCE_QUOTA, "default", "few")


@pytest.mark.invariant("V3")
def test_a_killed_daemon_finds_its_volumes_again_and_leaves_none_mounted(daemon):
    declare(daemon, "found", size="8Mi", accessModes=["ReadWriteOnce"])
    script = "echo a > /volumes/found/f; sync; mkfifo /tmp/f; read x < /tmp/f"
    daemon.shell("lives", script, volumeMounts=[{"name": "found"}], **QUICK)
    daemon.until("it runs", lambda: daemon.jobs()["lives"]["status"].get("active"))

    daemon.kill_daemon()
    daemon.start()

    daemon.shell("waits", "cat /volumes/found/f", volumeMounts=[{"name": "found"}], **QUICK)
    assert "run 1 of job/default/lives has it" in waits(daemon, "waits", "VolumeInUse")
    daemon.stop("lives")
    daemon.until("it ran", lambda: over(daemon, "waits"))
    assert daemon.rnx("logs", "waits").stdout == "a\n"
    assert nothing_is_mounted(daemon)


def test_what_volumes_hold_is_owned_by_nobody_of_this_host(daemon):
    declare(daemon, "owned", type="memory", size="1Mi")
    said(daemon, "owns", "touch /volumes/owned/f", "owned")

    uid = daemon.get(VOLUME, "owned")["metadata"]["uid"]
    directory = daemon.root / "var/lib/runwright/volumes" / uid / "mnt"
    assert (directory / "data/f").stat().st_uid == NEUTRAL_ID
    assert directory.stat().st_mode & 0o777 == 0o700
