"""Jobs that take values from Secrets and ConfigMaps, in a real daemon; and where those values never are."""

import resource
from pathlib import Path

import pytest

from api.kinds import CONFIG_MAP, EVENT, JOB, SECRET
from support import host
from support.daemon import Daemon, a_daemon
from support.secret_objects import PASSWORD, a_config_map, a_secret, b64, files_with, shows

pytestmark = pytest.mark.needs_root

IN_MEMORY = "run/runwright/secrets/"
"""Used where it is a file system in memory, and only for as long as the run goes on: `MemoryPlace`."""

FROM_SECRET = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon() as daemon:
        yield daemon
    host.assert_as_before(before)


@pytest.fixture
def db(daemon):
    yield daemon.client.apply(SECRET, "default", a_secret(metadata={"namespace": "default"})).document
    daemon.client.delete(SECRET, "default", "db")


def test_a_job_has_values_as_variables_and_as_files(daemon, db):
    settings = a_config_map(metadata={"namespace": "default"}, data={"level": "debug", "app.ini": "a=1\n"})
    daemon.client.apply(CONFIG_MAP, "default", settings)
    script = 'echo "$PASSWORD $S_level"; cat conf/key conf/app.ini; stat -c %a conf/key'
    daemon.shell(
        "all", script, env=[FROM_SECRET], envFrom=[{"configMapRef": {"name": "settings"}, "prefix": "S_"}],
        files=[
            {"path": "conf/key", "secretKeyRef": {"name": "db", "key": "password"}, "mode": 0o400},
            {"path": "conf/app.ini", "configMapKeyRef": {"name": "settings", "key": "app.ini"}},
        ],
    )  # fmt: skip

    assert daemon.ended("all")["phase"] == "Succeeded"
    assert daemon.log_of("all") == f"{PASSWORD} debug\n{PASSWORD}a=1\n400\n"
    daemon.delete("all")
    daemon.gone("all")


def test_who_goes_into_the_job_has_its_variables_too_with_the_values_of_now(daemon, db):
    daemon.shell("entered", "echo ready; sleep 1000", env=[FROM_SECRET])
    daemon.printed("entered", "ready")
    asked = ("exec", "entered", "--", "sh", "-c", 'echo "$PASSWORD"')

    first = daemon.rnx(*asked).stdout
    changed = a_secret(metadata={"namespace": "default"}, data={"password": b64("another")})
    daemon.client.apply(SECRET, "default", changed)

    assert first == f"{PASSWORD}\n"
    assert daemon.rnx(*asked).stdout == "another\n"
    daemon.client.delete(SECRET, "default", "db")
    assert daemon.rnx(*asked).stdout == "\n"
    daemon.client.apply(SECRET, "default", a_secret(metadata={"namespace": "default"}))
    daemon.delete("entered")
    daemon.gone("entered")


@pytest.mark.invariant("J20")
@pytest.mark.invariant("S20")
def test_no_file_has_a_value_while_the_job_runs_or_after_it_nor_is_it_told(daemon, db, tmp_path):
    files = [{"path": "key", "secretKeyRef": {"name": "db", "key": "password"}}]
    job = daemon.shell("quiet", "read line < key; echo ready; sleep 1000", env=[FROM_SECRET], files=files)
    daemon.printed("quiet", "ready")
    on_the_disk = [file for file in files_with(daemon.root) if not file.startswith(IN_MEMORY)]
    assert on_the_disk == []
    for arguments in (
        ("explain", "job/quiet"), ("describe", "job", "quiet"), ("get", "job", "quiet", "-o", "yaml"),
        ("get", "pod", "quiet-1", "-o", "yaml"), ("describe", "secret", "db"), ("get", "secrets"), ("events",),
    ):  # fmt: skip
        said = daemon.rnx(*arguments)
        assert said.returncode == 0, said.stderr
        assert not shows(said.stdout), arguments
    assert not any(shows(str(event)) for event in daemon.client.list(EVENT)["items"])
    assert not shows(daemon.metrics())
    daemon.stop("quiet")
    assert daemon.ended("quiet")["reason"] == "Stopped"
    daemon.until("the run's directory is gone", lambda: not daemon.run_dir(job).exists())
    backup = tmp_path / "backup.db"
    assert daemon.run_daemon("--backup", str(backup)).returncode == 0
    assert files_with(daemon.root) == []
    assert files_with(tmp_path) == []


def test_a_job_waits_for_what_is_missing_says_what_and_starts_when_it_comes(daemon):
    late = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "late", "key": "a"}}}
    daemon.shell("waits", 'echo "$A"', env=[late])

    def waiting(message):
        status = daemon.status("waits")
        return status.get("reason") == "CreateContainerConfigError" and message in status["message"]

    daemon.until("it waits for the Secret", lambda: waiting('Secret "late" not found in namespace default'))
    daemon.client.apply(SECRET, "default", a_secret("late", metadata={"namespace": "default"}, stringData={"b": "1"}))
    daemon.until("it waits for the key", lambda: waiting('couldn\'t find key "a" in Secret "late"'))
    daemon.client.apply(SECRET, "default", a_secret("late", metadata={"namespace": "default"}, stringData={"a": "now"}))
    assert daemon.ended("waits", 20)["phase"] == "Succeeded"
    assert daemon.log_of("waits") == "now\n"


def test_a_change_of_a_secret_restarts_nothing(daemon, db):
    daemon.shell("steady", 'echo "$PASSWORD"; sleep 1000', env=[FROM_SECRET])
    daemon.printed("steady", PASSWORD)
    daemon.client.merge_patch(SECRET, "default", "db", {"stringData": {"password": "changed"}})
    daemon.shell("next", 'echo "$PASSWORD"', env=[FROM_SECRET])
    assert daemon.ended("next")["phase"] == "Succeeded"
    assert daemon.log_of("next") == "changed\n"
    assert [run["state"] for run in daemon.status("steady")["runs"]] == ["Running"]
    daemon.delete("steady")
    daemon.gone("steady")


def test_the_key_is_rotated_while_the_daemon_is_down_and_jobs_find_their_values_after(daemon, db):
    refused = daemon.run_daemon("--rotate-secrets-key")
    assert (refused.returncode, "stop it" in refused.stderr) == (1, True)
    daemon.stop_daemon()
    rotated = daemon.run_daemon("--rotate-secrets-key")
    assert rotated.returncode == 0, rotated.stderr
    assert "under a new key" in rotated.stdout
    daemon.start()
    daemon.shell("after", 'echo "$PASSWORD"', env=[FROM_SECRET])
    assert daemon.ended("after")["phase"] == "Succeeded"
    assert daemon.log_of("after") == f"{PASSWORD}\n"


def test_the_key_is_rotated_while_the_daemon_runs(daemon, db):
    path = daemon.root / "var/lib/runwright/secrets.key"
    before = path.read_text()
    assert daemon.client.rotate_secrets_key() >= 1
    assert path.read_text() != before
    daemon.shell("with-new-key", 'echo "$PASSWORD"', env=[FROM_SECRET])
    assert daemon.ended("with-new-key")["phase"] == "Succeeded"
    assert daemon.log_of("with-new-key") == f"{PASSWORD}\n"


@pytest.mark.invariant("J20")
def test_no_crash_of_ours_writes_values_to_a_disk():
    """Whatever the shell allows that starts the daemon: what has values in memory leaves no core file."""
    before = host.snapshot()
    allowed = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (allowed[1], allowed[1]))
    try:
        with a_daemon() as daemon:
            daemon.client.apply(SECRET, "default", a_secret(metadata={"namespace": "default"}))
            daemon.shell("waits", "sleep 1000", env=[FROM_SECRET])
            supervisor = daemon.running("waits")["pid"]
            cores = [core_limit(pid) for pid in (daemon.pid, parent_of(supervisor), supervisor)]
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, allowed)
    host.assert_as_before(before)

    assert cores == ["0", "0", "0"]


def core_limit(pid):
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line.split()[4] for line in limits if line.startswith("Max core file size"))


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_manifest_may_declare_a_secret_and_what_is_wrong_with_it_is_told_without_its_value(daemon):
    good = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: declared, namespace: default}}\nstringData: {{a: {PASSWORD}}}\n"
    wrong = good.replace("stringData", "data").replace("declared", "wrong")
    directory = daemon.root / "etc/runwright/manifests"
    (directory / "good.yaml").write_text(good)
    (directory / "wrong.yaml").write_text(wrong)
    try:
        daemon.report_of("good.yaml", "Applied")
        report = daemon.report_of("wrong.yaml", "Invalid")
        assert 'the value of key "a" is not base64' in report["message"]
        assert not shows(str(daemon.reports()))
        assert daemon.get(SECRET, "declared")["data"] == {"a": b64(PASSWORD)}
        assert daemon.get(JOB, "none") == {}
    finally:
        (directory / "good.yaml").unlink()
        (directory / "wrong.yaml").unlink()
        daemon.until("it is pruned", lambda: not daemon.get(SECRET, "declared"))


def test_a_daemon_whose_keys_are_lost_does_not_start_and_says_what_to_do():
    before = host.snapshot()
    with Daemon() as place:
        place.start()
        place.client.apply(SECRET, "default", a_secret(metadata={"namespace": "default"}))
        place.stop_daemon()
        (place.root / "var/lib/runwright/secrets.key").unlink()
        done = place.run_daemon()
        assert done.returncode == 1
        assert "put the file back that has it" in done.stderr
    host.assert_as_before(before)
