"""`rnx runtime build` and `logs`. The tests play the daemon that builds."""

from pathlib import Path

import pytest

from api.client_watch import wait_for
from api.kinds import RUNTIME
from api.packages import packing
from support.api_server import condition_of
from support.objects import a_runtime
from support.packages import a_recipe, a_tree


def appeared(live, name: str) -> dict:
    found = wait_for(live.client, RUNTIME, "", name, until=lambda runtime: runtime is not None, timeout_seconds=20)
    assert found is not None
    return found


def report(live, name: str, version: str, state: str, **fields: str) -> None:
    reason = {"Installed": "Installed", "Failed": "BuildFailed"}.get(state, "Installing")
    ready = condition_of("Ready", reason, fields.get("message", ""), "True" if state == "Installed" else "False")
    versions = [{"version": version, "state": state, **fields}]
    live.set_status(RUNTIME, name, versions=versions, conditions=[ready], observedGeneration=1)


def log(live, key: str, text: str) -> None:
    (live.directory / "builds").mkdir(exist_ok=True)
    with (live.directory / f"builds/{key}.log").open("a") as file:
        file.write(text)


def test_a_recipe_becomes_a_runtime_and_its_log_is_shown_while_it_is_built(live, started, tmp_path):
    recipe = a_recipe(tmp_path, "my-tool", "1.2.0")
    building = started("runtime", "build", str(recipe))
    spec = appeared(live, "my-tool")["spec"]
    checksum = packing.pack_directory(recipe, tmp_path).sha256
    assert spec == {"versions": ["1.2.0"], "recipe": {"url": str(recipe), "checksum": f"sha256:{checksum}"}}

    log(live, "my-tool-1.2.0", "fetching\n")
    report(live, "my-tool", "1.2.0", "Installing")
    assert building.line() == "fetching\n"
    log(live, "my-tool-1.2.0", "unpacking\n")
    report(live, "my-tool", "1.2.0", "Installed", path="/opt/x")

    said = building.ended()
    assert (said.code, said.out) == (0, "unpacking\nRuntime my-tool@1.2.0 is built: /opt/x\n")


def test_a_build_that_failed_ends_with_1_and_why(live, started, tmp_path):
    building = started("runtime", "build", str(a_recipe(tmp_path, "my-tool", "1.2.0")))
    appeared(live, "my-tool")
    report(live, "my-tool", "1.2.0", "Failed", message="setup.sh ended with 3")

    said = building.ended()
    assert (said.code, said.err) == (1, "error: cannot build my-tool@1.2.0: BuildFailed: setup.sh ended with 3\n")


def test_what_was_built_is_packed_as_a_tree(live, started, tmp_path):
    tree = a_tree(tmp_path, "my-tool", "1.2.0")
    building = started(
        "runtime", "build", str(a_recipe(tmp_path / "r", "my-tool", "1.2.0")), "--pack", f"{tmp_path}/out.tar.gz"
    )
    appeared(live, "my-tool")
    report(live, "my-tool", "1.2.0", "Installed", path=str(tree))

    assert building.ended().out.splitlines()[-1].startswith(f"{tmp_path}/out.tar.gz: my-tool@1.2.0, ")


def test_a_manifest_with_a_build_is_applied_as_it_is(live, started, rnx, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rnx("runtime", "init", "mine", "--language", "python")
    building = started("runtime", "build", str(tmp_path / "mine"))
    assert appeared(live, "mine")["spec"]["build"]["base"] == {"language": "python", "version": "3.11"}
    report(live, "mine", "1.0.0", "Installed", health="Unhealthy", healthMessage="no ssl")

    said = building.ended()
    assert (said.code, "cannot build mine@1.0.0: Installed: no ssl" in said.err) == (1, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Runtime\nspec: {versions: ['1.0.0']}", "it is no Runtime with a build or a recipe"),
        ("kind: Runtime\nspec: {build: {apt: [a], x: 1}}", "unknown field"),
        ("kind: Job\nspec: {command: [a]}", "it is a Job"),
        ("kind: Runtime\n---\nkind: Runtime", "it must hold one Runtime, and holds 2"),
    ],
)
def test_a_manifest_that_is_no_build_is_refused_before_anything_is_declared(rnx, live, tmp_path, text, said):
    file = tmp_path / "x.yaml"
    file.write_text("".join(f"apiVersion: runwright.dev/v1alpha1\nmetadata: {{name: x}}\n{t}\n---\n" for t in [text]))

    answer = rnx("runtime", "build", str(file))
    assert (answer.code, said in answer.err) == (1, True), answer
    assert live.client.list(RUNTIME)["items"] == []


def test_a_recipe_with_an_error_and_a_finished_tree_are_not_built(rnx, live, tmp_path):
    assert "Version format invalid" in rnx("runtime", "build", str(a_recipe(tmp_path, version="1"))).err
    assert "it is a finished tree: rnx runtime pack" in rnx("runtime", "build", str(a_tree(tmp_path))).err
    assert live.client.list(RUNTIME)["items"] == []


def test_a_packed_recipe_is_built_from_its_archive_with_its_checksum(live, started, rnx, tmp_path):
    rnx("runtime", "pack", str(a_recipe(tmp_path, "my-tool", "1.2.0")), "-o", str(tmp_path))
    building = started("runtime", "build", str(tmp_path / "my-tool-1.2.0.tar.gz"))

    source = appeared(live, "my-tool")["spec"]["recipe"]
    assert Path(source["url"]).name == "my-tool-1.2.0.tar.gz"
    assert source["checksum"].startswith("sha256:") or len(source["checksum"]) == 64
    report(live, "my-tool", "1.2.0", "Installed", path="/x")
    assert building.ended().code == 0


def test_the_log_of_a_build_is_printed_afterwards(rnx, live):
    live.create(RUNTIME, a_runtime("logged", versions=["1.0.0"]))
    log(live, "logged-1.0.0", "one\ntwo\n")

    assert rnx("runtime", "logs", "logged").out == "one\ntwo\n"
    assert rnx("runtime", "logs", "logged@1.0.0", "-f").out == "one\ntwo\n"
    said = rnx("runtime", "logs", "logged@2.0.0")
    assert (said.code, "no log of logged@2.0.0" in said.err) == (1, True)


def test_the_log_of_a_range_is_that_of_the_highest_version_in_it(rnx, live):
    live.create(RUNTIME, a_runtime("logged", versions=["1.0.0", "1.1.0", "2.0.0"]))
    report(live, "logged", "1.1.0", "Installed", path="/x")
    log(live, "logged-1.1.0", "of 1.1\n")
    log(live, "logged-2.0.0", "of 2.0\n")

    assert rnx("runtime", "logs", "logged@^1").out == "of 1.1\n"
    said = rnx("runtime", "logs", "logged@^3")
    assert (said.code, "no version in this range was built: there is 1.1.0" in said.err) == (1, True)
