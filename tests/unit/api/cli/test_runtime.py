"""`rnx runtime` on the real API. The tests play the controller."""

import json

import pytest

from api.client_watch import wait_for
from api.errors import NotFound
from api.kinds import JOB, REGISTRY, RUNTIME
from support.api_server import condition_of, run_status
from support.forwarding import forwarded
from support.objects import a_job, a_runtime
from support.packages import a_tree


def installed(*versions: str, latest: str = "") -> dict:
    listed = [{"version": version, "state": "Installed", "registry": "default"} for version in versions]
    ready = condition_of("Ready", "Installed") | {"observedGeneration": 9}
    return {"versions": listed, "latest": latest or versions[-1], "conditions": [ready], "observedGeneration": 9}


@pytest.fixture
def python(live):
    live.create(RUNTIME, a_runtime("python-3.11-ml", versions=["1.9.0", "1.10.0"]))
    live.set_status(RUNTIME, "python-3.11-ml", **installed("1.10.0", "1.9.0", latest="1.10.0"))


def appeared(live, kind, name, until=lambda document: document is not None):
    return wait_for(live.client, kind, "", name, until=until, timeout_seconds=20)


def test_versions_are_listed_in_their_order_and_the_latest_is_marked(rnx, live, python):
    live.create(RUNTIME, a_runtime("java-17"))
    live.set_status(RUNTIME, "java-17", conditions=[condition_of("Ready", "RuntimeNotFound", "nobody has it", "False")])

    rows = [line.split() for line in rnx("runtime", "list").lines]

    assert rows[0][:4] == ["NAME", "VERSION", "STATE", "LATEST"]
    assert rows[1][:2] == ["java-17", "RuntimeNotFound"]
    assert rows[2][:3] == ["python-3.11-ml", "1.9.0", "Installed"]
    assert rows[3][:4] == ["python-3.11-ml", "1.10.0", "Installed", "yes"]


def offered(live, name: str, **runtimes: dict) -> None:
    api = {"apiVersion": RUNTIME.api_version, "kind": "Registry", "metadata": {"name": name}}
    live.create(REGISTRY, api | {"spec": {"url": f"file:///srv/{name}"}})
    live.host.catalogues[name] = {"fetchedAt": "2026-01-01T00:00:00Z", "problem": "", "runtimes": runtimes}


def test_where_no_runtime_is_nothing_goes_and_that_is_told(rnx, live):
    assert rnx("runtime", "gc").err == "No runtimes found: nothing to remove\n"


def test_what_registries_offer_is_listed_with_whether_it_runs_here(rnx, live):
    version = {"description": "A tool", "sizeBytes": 2048, "platforms": ["x"], "unsupported": ""}
    offered(live, "b", tool={"1.9.0": version, "1.10.0": version | {"unsupported": "it does not"}})
    offered(live, "a", other={"1.0.0": version})

    rows = [line.split() for line in rnx("runtime", "list", "--registry").lines]
    assert rows[0] == ["NAME", "VERSION", "SIZE", "RUNS", "HERE", "REGISTRY", "DESCRIPTION"]
    assert [row[:2] for row in rows[1:]] == [["other", "1.0.0"], ["tool", "1.9.0"], ["tool", "1.10.0"]]
    assert [row[4] for row in rows[1:]] == ["yes", "yes", "no"]
    assert [line.split()[0] for line in rnx("runtime", "list", "--registry=a").lines] == ["NAME", "other"]
    assert json.loads(rnx("runtime", "list", "--registry=file:///srv/a", "--json").out)["a"]["runtimes"]


def test_a_registry_that_is_down_costs_only_what_it_offers(rnx, live):
    offered(live, "a", tool={"1.0.0": {}})
    offered(live, "b")
    del live.host.catalogues["b"]

    said = rnx("runtime", "list", "--registry", "--refresh")
    assert said.code == 1
    assert said.lines[1].split()[:2] == ["tool", "1.0.0"]
    assert said.err == "registry/b: cannot read the registry, asked anew: it is down\n"


def test_a_registry_of_another_name_is_told_with_those_there_are(rnx, live):
    offered(live, "a")

    said = rnx("runtime", "list", "--registry=c")
    assert (said.code, 'registry "c" not found: there are a' in said.err) == (1, True)


def test_the_list_tells_health_size_what_is_shared_and_who_uses_it(rnx, live, python):
    versions = installed("1.9.0")["versions"][0]
    more = {"health": "Unhealthy", "healthMessage": "python: not found", "diskBytes": 2048, "sharedBytes": 1024}
    live.set_status(RUNTIME, "python-3.11-ml", versions=[versions | more | {"digest": "sha256:" + "ab" * 32}])
    live.create(JOB, a_job("etl", runtime="python-3.11-ml@1.9.0"))

    row = rnx("runtime", "list", "-o", "wide").lines[1]
    assert row.split() == [
        "python-3.11-ml", "1.9.0", "Installed", "Unhealthy", "2.0", "KiB", "1.0", "KiB", "1", "sha256:abababababab",
        "python:", "not", "found",
    ]  # fmt: skip
    head, row = rnx("runtime", "list").lines
    assert head.split() == ["NAME", "VERSION", "STATE", "LATEST", "HEALTH", "SIZE", "INSTALLED", "MESSAGE"]
    assert row.split() == ["python-3.11-ml", "1.9.0", "Installed", "Unhealthy", "2.0", "KiB", "python:", "not", "found"]
    (entry,) = json.loads(rnx("runtime", "list", "--json").out)
    assert (entry["available"], entry["inUseBy"]) == (False, ["job/default/etl"])


def test_info_shows_the_version_that_jobs_get_and_what_its_tree_says(rnx, live, python, tmp_path):
    tree = a_tree(tmp_path, more="environment: {PATH_PREPEND: /x, A: b}\nrequirements: {min_memory: 512MB}\n")
    found = {"version": "1.10.0", "state": "Installed", "path": str(tree), "digest": "sha256:ab", "keptBecause": "why"}
    live.set_status(RUNTIME, "python-3.11-ml", versions=[found], history=[])

    lines = [" ".join(line.split()) for line in rnx("runtime", "info", "python-3.11-ml@^1.9").lines]
    assert "Jobs Get: python-3.11-ml@1.10.0" in lines
    assert {"Digest: sha256:ab", "Kept: why", "Mount: /bin from isolated/bin"} <= set(lines)
    assert {"Environment: A=b", "Path First: /x", "Least Memory: 488.3 MiB"} <= set(lines)


@pytest.mark.parametrize("spec", ["python-3.11-ml", "python-3.11-ml@1.9.0", "python:3.11+ml", "python:3.11"])
def test_info_takes_every_way_to_name_a_runtime(rnx, live, python, spec):
    live.create(JOB, a_job("etl", runtime="python-3.11-ml"))

    said = rnx("runtime", "info", spec)

    assert "Name:             python-3.11-ml" in said.out
    assert said.lines[-1] == "Used By:          job/default/etl"


def test_a_runtime_that_nobody_declared_is_told_with_those_there_are(rnx, python):
    said = rnx("runtime", "info", "ruby-3.2")

    assert said.code == 1
    assert 'runtime "ruby-3.2" not found: there are python-3.11-ml' in said.err


def test_an_install_declares_the_version_and_waits_for_it(live, started):
    installing = started("runtime", "install", "python-3.11@1.0.0")
    runtime = appeared(live, RUNTIME, "python-3.11")
    assert runtime["spec"]["versions"] == ["1.0.0"]

    under_way = {"version": "1.0.0", "state": "Installing", "doneBytes": 5, "sizeBytes": 10}
    live.set_status(RUNTIME, "python-3.11", versions=[under_way])
    live.set_status(RUNTIME, "python-3.11", **installed("1.0.0"))

    said = installing.ended()
    assert (said.code, said.out) == (0, "Runtime python-3.11@1.0.0 installed\n")


def test_an_install_tells_what_is_doubtful_in_the_manifest_with_its_place(live, started, tmp_path):
    tree = a_tree(tmp_path, more="package_manager: {type: pip, cache_volume: ../c}\n")
    installing = started("runtime", "install", "tool@1.0.0")
    appeared(live, RUNTIME, "tool")
    status = installed("1.0.0")
    status["versions"][0]["path"] = str(tree)
    live.set_status(RUNTIME, "tool", **status)

    said = installing.ended()

    assert (said.code, said.out) == (0, "Runtime tool@1.0.0 installed\n")
    place = f"{tree}/runtime.yml:5:44: package_manager.cache_volume"
    assert said.err.startswith(f'warning: {place}: "../c" is no name of a volume: each run has an empty cache')


@pytest.mark.parametrize("where", ["over the network", "no path"])
def test_an_install_tells_of_no_file_that_is_not_the_servers(live, started, tmp_path, where):
    tree = a_tree(tmp_path, more="package_manager: {type: pip, cache_volume: ../c}\n")
    with forwarded(live.socket) as url:
        server = ["--server", url] if where == "over the network" else []
        installing = started("runtime", "install", "tool@1.0.0", *server, directory=tree)
        appeared(live, RUNTIME, "tool")
        status = installed("1.0.0")
        if server:
            status["versions"][0]["path"] = str(tree)
        live.set_status(RUNTIME, "tool", **status)

        said = installing.ended()

    assert (said.code, said.out, said.err) == (0, "Runtime tool@1.0.0 installed\n", "")


def test_a_further_version_is_added_to_those_declared(rnx, live, python):
    rnx("runtime", "install", "python-3.11-ml@2.0.0", "--wait=false")

    assert live.get(RUNTIME, "python-3.11-ml")["spec"]["versions"] == ["1.9.0", "1.10.0", "2.0.0"]


def test_what_is_installed_already_is_said_and_is_fine(rnx, live, python):
    before = live.get(RUNTIME, "python-3.11-ml")

    said = rnx("runtime", "install", "python-3.11-ml@1.9.0")

    assert (said.code, said.out) == (0, "Runtime python-3.11-ml@1.9.0 is already installed\n")
    assert live.get(RUNTIME, "python-3.11-ml") == before


def test_the_latest_that_is_installed_already_is_said_with_its_version(rnx, live):
    live.create(RUNTIME, a_runtime("java-17", versions=["latest"]))
    live.set_status(RUNTIME, "java-17", **installed("3.0.0"))

    assert rnx("runtime", "install", "java-17@latest").out == "Runtime java-17@3.0.0 is already installed\n"


@pytest.mark.parametrize("versions", [{}, {"versions": ["1.0.0"]}])
def test_of_a_runtime_that_is_made_there_is_what_it_makes(rnx, live, versions):
    live.create(RUNTIME, a_runtime("par", build={"run": ["true"]}, **versions))
    before = live.get(RUNTIME, "par")["spec"]
    said = rnx("runtime", "install", "par@2.0.0")
    why = "runtime par makes 1.0.0 by its spec.build, and no other version: ask for par, or apply another spec.build"
    assert (said.code, said.err) == (1, f"error: cannot install par@2.0.0: {why}\n")

    live.set_status(RUNTIME, "par", **installed("1.0.0"))
    assert rnx("runtime", "install", "par").out == "Runtime par@1.0.0 is already installed\n"
    assert rnx("runtime", "install", "par@^1").out == "Runtime par@1.0.0 is already installed\n"
    assert live.get(RUNTIME, "par")["spec"] == before


def test_an_install_that_cannot_succeed_ends_with_why(live, started):
    installing = started("runtime", "install", "python-9")
    appeared(live, RUNTIME, "python-9")
    refused = condition_of("Ready", "RuntimeNotFound", "no registry has python-9", "False")
    live.set_status(RUNTIME, "python-9", conditions=[refused], observedGeneration=1)

    said = installing.ended()

    assert said.code == 1
    assert "cannot install python-9@latest: RuntimeNotFound: no registry has python-9" in said.err


def test_a_registry_named_by_its_address_is_declared(rnx, live):
    rnx("runtime", "install", "custom-runtime", "--registry=myorg/runtimes", "--wait=false")

    assert live.get(REGISTRY, "myorg-runtimes")["spec"]["url"] == "myorg/runtimes"
    assert live.get(RUNTIME, "custom-runtime")["spec"] == {"versions": ["latest"], "registry": "myorg-runtimes"}


def test_an_address_with_a_password_becomes_no_registry_and_is_not_repeated(rnx, live):
    said = rnx("runtime", "install", "tool", "--registry=https://anna:s3cret@h/registry.json")

    assert said.code == 1
    assert "spec.credentials" in said.err
    assert "s3cret" not in said.err
    assert "s3cret" not in rnx("get", "registries", "-o", "name").out


def test_a_registry_declared_for_an_install_that_cannot_be_read_is_not_left_behind(live, started):
    installing = started("runtime", "install", "tool", "--registry=file:///srv/nowhere")
    appeared(live, REGISTRY, "file-srv-nowhere")
    unread = condition_of("Ready", "NotFound", "there is no registry.json", "False")
    live.set_status(REGISTRY, "file-srv-nowhere", conditions=[unread])

    said = installing.ended()

    why = "cannot install from registry/file-srv-nowhere: NotFound: there is no registry.json: it is not declared any"
    assert (said.code, why in said.err) == (1, True)
    live.let_go(REGISTRY, "file-srv-nowhere")
    for kind, name in ((REGISTRY, "file-srv-nowhere"), (RUNTIME, "tool")):
        with pytest.raises(NotFound):
            live.get(kind, name)


def test_a_registry_that_was_declared_before_stays_though_it_cannot_be_read(rnx, live):
    offered(live, "a")
    unread = condition_of("Ready", "Unreachable", "nobody answers", "False")
    live.set_status(REGISTRY, "a", conditions=[unread])
    address = live.get(REGISTRY, "a")["spec"]["url"]

    said = rnx("runtime", "install", "tool", f"--registry={address}", "--timeout=50ms")

    assert "timed out waiting for runtime tool" in said.err
    assert "it goes on: rnx describe runtime/tool says how far it is\n" in said.err
    assert live.get(RUNTIME, "tool")["spec"]["registry"] == "a"
    assert live.get(REGISTRY, "a")


def test_a_registry_that_is_not_declared_is_an_error(rnx):
    said = rnx("runtime", "install", "x", "--registry=nope", "--wait=false")

    assert said.code == 1
    assert 'registries.runwright.dev "nope" not found' in said.err


@pytest.mark.parametrize(
    ("spec", "why"), [("python:3.11", "name the runtime"), ("Python", "is not a name"), ("x@1.3", "version")]
)
def test_what_cannot_be_installed_is_wrong_usage(rnx, spec, why):
    said = rnx("runtime", "install", spec)

    assert said.code == 2
    assert why in said.err


def test_one_version_is_removed_and_the_others_stay(live, python, started):
    removing = started("runtime", "remove", "python-3.11-ml@1.9.0")
    appeared(live, RUNTIME, "python-3.11-ml", lambda runtime: runtime["spec"]["versions"] == ["1.10.0"])
    live.set_status(RUNTIME, "python-3.11-ml", **installed("1.10.0"))

    assert removing.ended().out == "Runtime python-3.11-ml@1.9.0 removed\n"


def test_a_whole_runtime_is_removed(rnx, live, python):
    assert rnx("runtime", "remove", "python-3.11-ml").out == "Runtime python-3.11-ml removed\n"
    with pytest.raises(NotFound):
        live.get(RUNTIME, "python-3.11-ml")


def test_what_jobs_use_is_not_removed_unless_forced(rnx, live, python):
    live.create(JOB, a_job("etl", runtime="python-3.11-ml@1.9.0"))

    said = rnx("runtime", "remove", "python-3.11-ml")

    assert said.code == 1
    assert "it is used by job/default/etl: stop them first, or say --force" in said.err
    assert rnx("runtime", "remove", "python-3.11-ml", "--force").code == 0


def test_a_version_that_nobody_declared_is_not_removed(rnx, python):
    said = rnx("runtime", "remove", "python-3.11-ml@3.0.0")

    assert said.code == 1
    assert "what is declared is 1.9.0, 1.10.0" in said.err


def test_a_test_with_a_command_runs_it_in_a_job_and_removes_it(live, started):
    testing = started("runtime", "test", "python-3.11-ml", "python", "--version")
    names: list[str] = []
    from api.client_watch import Watch

    for event in Watch(live.client, JOB, "default"):
        names.append(event.document["metadata"]["name"])
        break
    assert live.get(JOB, names[0])["spec"]["command"] == ["python", "--version"]
    live.write_log(names[0], 1, "stdout Python 3.11.9")
    live.set_status(
        JOB, names[0], phase="Succeeded", conditions=[condition_of("Complete")], runs=[run_status("Ended", exit_code=0)]
    )
    live.let_go(JOB, names[0])

    said = testing.ended()

    assert (said.code, said.out) == (0, "Python 3.11.9\nRuntime python-3.11-ml works\n")
    assert live.client.list(JOB)["items"] == []


def report_failed(live, name: str, reason: str, message: str, version: str = "1.0.0", generation: int = 1) -> None:
    ready = condition_of("Ready", reason, message, "False") | {"observedGeneration": generation}
    failed = {"version": version, "state": "Failed", "reason": reason, "message": message}
    live.set_status(RUNTIME, name, conditions=[ready], versions=[failed], observedGeneration=generation)


def test_a_runtime_that_nobody_has_does_not_stay_declared(live, started):
    installing = started("runtime", "install", "nope@1.0.0")
    appeared(live, RUNTIME, "nope")
    report_failed(live, "nope", "RuntimeNotFound", "no registry has nope")

    said = installing.ended()

    assert said.code == 1
    assert "RuntimeNotFound: no registry has nope: runtime nope is not declared any more" in said.err
    live.let_go(RUNTIME, "nope")
    with pytest.raises(NotFound):
        live.get(RUNTIME, "nope")


def test_only_the_version_that_nobody_has_is_taken_back_from_a_runtime_of_others(live, python, started):
    installing = started("runtime", "install", "python-3.11-ml@7.0.0")
    asked = appeared(live, RUNTIME, "python-3.11-ml", lambda runtime: "7.0.0" in runtime["spec"]["versions"])
    generation = asked["metadata"]["generation"]
    report_failed(live, "python-3.11-ml", "RuntimeNotFound", "no 7.0.0 anywhere", "7.0.0", generation)

    said = installing.ended()

    assert said.code == 1
    assert "runtime python-3.11-ml does not ask for 7.0.0 any more" in said.err
    assert live.get(RUNTIME, "python-3.11-ml")["spec"]["versions"] == ["1.9.0", "1.10.0"]


def test_what_was_declared_before_stays_declared_though_nobody_has_it(rnx, live):
    live.create(RUNTIME, a_runtime("nope", versions=["1.0.0"]))
    report_failed(live, "nope", "RuntimeNotFound", "no registry has nope")

    said = rnx("runtime", "install", "nope@1.0.0")

    assert said.code == 1
    assert live.get(RUNTIME, "nope")["spec"]["versions"] == ["1.0.0"]
    assert "any more" not in said.err


@pytest.mark.parametrize("reason", ["Unreachable", "RegistryUnavailable"])
def test_an_install_goes_on_waiting_while_what_failed_may_pass_and_says_why(live, started, reason):
    installing = started("runtime", "install", "python-3.12@1.0.0")
    appeared(live, RUNTIME, "python-3.12")
    report_failed(live, "python-3.12", reason, "no answer in 30 s")
    assert installing.error_line() == f"runtime python-3.12 waits: {reason}: no answer in 30 s\n"

    live.set_status(RUNTIME, "python-3.12", **installed("1.0.0"))

    said = installing.ended()
    assert (said.code, said.out, said.err) == (0, "Runtime python-3.12@1.0.0 installed\n", "")


def test_an_install_that_comes_to_its_timeout_says_what_it_waited_for(rnx, live):
    live.create(RUNTIME, a_runtime("java-17", versions=["1.0.0"]))
    report_failed(live, "java-17", "Unreachable", "no answer in 30 s")

    said = rnx("runtime", "install", "java-17@1.0.0", "--timeout=50ms")

    assert said.code == 4
    assert "timed out waiting for runtime java-17: Unreachable: no answer in 30 s: it goes on: rnx describe" in said.err


def test_a_range_is_declared_and_what_it_means_is_told(live, started):
    installing = started("runtime", "install", "tool@^1.3")
    runtime = appeared(live, RUNTIME, "tool")
    assert runtime["spec"]["versions"] == ["^1.3"]
    history = [{"asked": "^1.3", "version": "1.9.0", "at": "2026-01-01T00:00:00Z"}]
    live.set_status(RUNTIME, "tool", **installed("1.9.0", "2.0.0"), history=history)

    assert installing.ended().out == "Runtime tool@1.9.0 installed\n"


HISTORY = [{"asked": "^1.3", "version": "1.9.0", "at": "2026-01-01T00:00:00Z"}]


def in_trouble(live, *more: dict) -> None:
    """Have a Runtime of which a range is there, and another version is nowhere to be had; and `more`."""
    live.create(RUNTIME, a_runtime("tool", versions=["^1.3", "7.0.0"]))
    ready = condition_of("Ready", "RuntimeNotFound", "no 7.0.0 anywhere", "False")
    failed = {"version": "7.0.0", "state": "Failed", "message": "no 7.0.0 anywhere"}
    versions = [*installed("1.9.0")["versions"], failed, *more]
    live.set_status(
        RUNTIME, "tool", conditions=[ready], versions=versions, history=HISTORY, observedGeneration=1
    )  # fmt: skip


def test_a_range_that_is_there_is_there_whatever_becomes_of_others(rnx, live):
    in_trouble(live)

    said = rnx("runtime", "install", "tool@^1.3")

    assert (said.code, said.out) == (0, "Runtime tool@1.9.0 is already installed\n")


@pytest.mark.parametrize("state", ["Installing", "Failed"])
def test_a_range_is_not_there_while_what_it_may_mean_is_on_its_way_or_in_trouble(rnx, live, state):
    in_trouble(live, {"version": "1.10.0", "state": state, "message": "of 1.10.0"})

    assert "already installed" not in rnx("runtime", "install", "tool@^1.3", "--timeout=50ms").out


def test_why_a_version_is_not_there_is_its_own_whatever_is_wrong_with_others(live, started):
    in_trouble(live)
    installing = started("runtime", "install", "tool@9.9.9")
    asked = appeared(live, RUNTIME, "tool", lambda runtime: "9.9.9" in runtime["spec"]["versions"])
    why = {"reason": "RuntimeNotFound", "message": "cannot install tool@9.9.9: nobody has it"}
    versions = [*asked["status"]["versions"], {"version": "9.9.9", "state": "Failed"} | why]
    ready = condition_of("Ready", "Ambiguous", "no 7.0.0 anywhere; and more", "False")
    seen = asked["metadata"]["generation"]
    live.set_status(RUNTIME, "tool", conditions=[ready], versions=versions, history=HISTORY, observedGeneration=seen)

    said = installing.ended()

    told = "cannot install tool@9.9.9: RuntimeNotFound: nobody has it: runtime tool does not ask for 9.9.9 any more"
    assert (said.code, told in said.err) == (1, True)
    assert live.get(RUNTIME, "tool")["spec"]["versions"] == ["^1.3", "7.0.0"]


def test_an_install_that_fails_leaves_the_registry_of_a_runtime_as_it_was(live, python, started):
    offered(live, "a")
    installing = started("runtime", "install", "python-3.11-ml@7.0.0", "--registry=a")
    asked = appeared(live, RUNTIME, "python-3.11-ml", lambda runtime: runtime["spec"].get("registry") == "a")
    generation = asked["metadata"]["generation"]
    report_failed(live, "python-3.11-ml", "RuntimeNotFound", "no 7.0.0 anywhere", "7.0.0", generation)

    said = installing.ended()

    assert "runtime python-3.11-ml does not ask for 7.0.0 of registry/a any more" in said.err
    spec = live.get(RUNTIME, "python-3.11-ml")["spec"]
    assert (spec["versions"], spec.get("registry")) == (["1.9.0", "1.10.0"], None)


def test_info_of_a_version_that_is_not_there_is_an_error_that_names_those_there_are(rnx, python):
    said = rnx("runtime", "info", "python-3.11-ml@3.3.3")

    assert (said.code, "no version of it is installed" in said.out) == (1, False)
    assert "python-3.11-ml@3.3.3 is not there: installed are 1.10.0, 1.9.0\n" in said.err


def test_a_version_that_failed_is_not_told_as_one_that_is_there(rnx, live):
    in_trouble(live)

    assert "tool@3.3.3 is not there: installed are 1.9.0\n" in rnx("runtime", "info", "tool@3.3.3").err
    failed = {"version": "7.0.0", "state": "Failed", "reason": "RuntimeNotFound", "message": "nobody has it"}
    live.set_status(RUNTIME, "tool", versions=[failed])
    said = rnx("runtime", "info", "tool@7.0.0")
    assert "Jobs Get:         <none>: tool@7.0.0 is Failed: RuntimeNotFound: nobody has it\n" in said.out


def test_a_registry_that_is_disabled_is_not_waited_for(rnx, live):
    offered(live, "off")
    live.client.change(REGISTRY, "", "off", lambda _: {"spec": {"enabled": False}})

    said = rnx("runtime", "install", "tool@1.0.0", "--registry=off")

    assert (said.code, "registry/off is disabled: set its spec.enabled to true" in said.err) == (1, True)
    with pytest.raises(NotFound):
        live.get(RUNTIME, "tool")


def test_only_the_range_is_removed_and_what_stays_is_told_with_why(live, started):
    live.create(RUNTIME, a_runtime("tool", versions=["^1.3", "1.9.0"]))
    live.set_status(RUNTIME, "tool", **installed("1.9.0") | {"observedGeneration": 1})
    removing = started("runtime", "remove", "tool@1.9.0")
    appeared(live, RUNTIME, "tool", lambda runtime: runtime["spec"]["versions"] == ["^1.3"])
    version = {"version": "1.9.0", "state": "Installed", "keptBecause": "it is what ^1.3 means"}
    live.set_status(RUNTIME, "tool", versions=[version], observedGeneration=2)

    assert removing.ended().err == "tool@1.9.0 stays installed: it is what ^1.3 means\n"


def test_what_is_installed_and_does_not_work_is_no_success(live, started):
    installing = started("runtime", "install", "tool@1.0.0")
    appeared(live, RUNTIME, "tool")
    sick = {"version": "1.0.0", "state": "Installed", "health": "Unhealthy", "healthMessage": "no libz"}
    ready = condition_of("Ready", "Unhealthy", "1.0.0 does not work: no libz", "False")
    live.set_status(RUNTIME, "tool", versions=[sick], conditions=[ready], observedGeneration=1)

    said = installing.ended()
    assert (said.code, "tool@1.0.0 is installed and does not work: no libz" in said.err) == (1, True)
