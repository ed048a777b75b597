"""`rnx runtime init|validate|pack|publish` and `rnx registry`: no server is asked."""

import os
import re
import signal
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest

from api.packages.scaffold import LANGUAGES, examples
from support.packages import a_recipe, a_tree

ROOT = Path(__file__).parents[4]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_first_recipe_is_valid_without_a_warning(rnx, here):
    said = rnx("runtime", "init", "my-tool")
    assert said.lines[0] == "my-tool/manifest.yaml written"
    assert "rnx runtime validate my-tool" in said.err

    said = rnx("runtime", "validate", "my-tool")
    assert (said.code, said.lines[0]) == (0, "Checking: my-tool")
    assert said.lines[-1] == "Checked 1 package: 1 valid, 0 errors, 0 warnings"
    assert stat.S_IMODE((here / "my-tool/setup.sh").stat().st_mode) == 0o755


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_first_build_of_each_language_is_valid(rnx, here, language):
    assert rnx("runtime", "init", "mine", "--language", language).code == 0

    said = rnx("runtime", "validate", "mine")
    assert (said.code, said.lines[2]) == (0, "  ✓ Runtime can be applied: 1.0.0 from its build")


@pytest.mark.parametrize("example", sorted(examples()))
def test_an_example_is_begun_with_under_a_name_of_ones_own_and_is_valid(rnx, here, example):
    said = rnx("runtime", "init", "my-tool", "--from-example", example)
    assert (said.code, said.out.count(" written\n")) == (0, len(list((here / "my-tool").iterdir())))

    said = rnx("runtime", "validate", "my-tool")
    assert said.code == 0, said.out
    assert said.lines[-1].startswith("Checked 1 package: 1 valid, 0 errors")
    manifest = next((here / "my-tool").glob("*.yaml")).read_text()
    assert re.search("^ *name: my-tool$", manifest, re.MULTILINE)


def test_the_examples_are_listed_with_what_they_are(rnx):
    said = rnx("runtime", "init", "--list-examples")

    assert said.lines[0] == "EXAMPLE      DESCRIPTION"
    assert "tiny         A static busybox and nothing else" in said.lines
    assert len(said.lines) == 1 + len(list((ROOT / "examples/runtimes").iterdir()))


def test_every_file_of_every_example_travels_with_the_package():
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["api.packages"]
    packed = {path for pattern in found for path in (ROOT / "api/packages").glob(pattern) if path.is_file()}

    there = {path.relative_to(ROOT / "examples/runtimes") for path in (ROOT / "examples/runtimes").glob("**/*.*")}
    assert {path.relative_to(ROOT / "api/packages/example_runtimes") for path in packed} == there


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("My_Tool",), 1, "cannot make the runtime My_Tool: "),
        (("../out",), 1, "cannot make the runtime ../out: "),
        ((), 2, "give the NAME of the runtime"),
        (("x", "--from-example", "cobol"), 1, "the example cobol: there is none: use one of go, node, openjdk, "),
        (("x", "--from-example", "../tiny"), 1, "the example ../tiny: there is none"),
        (("My_Tool", "--from-example", "tiny"), 1, "cannot make the runtime My_Tool: "),
        (("x", "--language", "go", "--from-example", "go"), 2, "leave one out"),
        (("x", "--language", "cobol"), 2, "cannot begin with cobol: use one of python, java, node, go"),
    ],
)
def test_what_cannot_be_begun_is_told(rnx, here, arguments, code, said):
    answer = rnx("runtime", "init", *arguments)

    assert answer.code == code
    assert said in answer.err
    assert list(here.iterdir()) == []


def test_nothing_that_is_there_is_written_over(rnx, here):
    rnx("runtime", "init", "mine")
    (here / "mine/setup.sh").write_text("mine")

    assert "mine: it is there already" in rnx("runtime", "init", "mine").err
    assert (here / "mine/setup.sh").read_text() == "mine"


def test_the_documents_checks_are_printed(rnx, tmp_path):
    said = rnx("runtime", "validate", str(a_recipe(tmp_path)))

    assert said.lines[:4] == [
        "Checking: python-3.11-ml",
        "  ✓ Runtime name valid: python-3.11-ml",
        "  ✓ Version format valid: 1.3.2",
        "  ✓ Found 2 setup script(s)",
    ]


def test_warnings_end_with_0_and_errors_with_1_after_all_was_checked(rnx, tmp_path):
    doubtful = a_recipe(tmp_path, setup_ubuntu_amd64_sh=None, setup_rhel_amd64_sh=None)
    wrong = a_recipe(tmp_path / "x", version="1.0")

    said = rnx("runtime", "validate", str(doubtful))
    assert (said.code, said.lines[-1]) == (0, "Checked 1 package: 1 valid, 0 errors, 1 warning")
    said = rnx("runtime", "validate", str(wrong), str(doubtful))
    assert (said.code, said.lines[-1]) == (1, "Checked 2 packages: 1 valid, 1 error, 1 warning")


def test_a_directory_of_packages_is_checked_one_by_one(rnx, tmp_path):
    for name in ("b", "a"):
        a_recipe(tmp_path, name)

    said = rnx("runtime", "validate", str(tmp_path))
    assert [line for line in said.lines if line.startswith("Checking")] == ["Checking: a", "Checking: b"]


def test_manifests_are_checked_by_the_rules_of_the_server_with_their_lines(rnx, tmp_path):
    (tmp_path / "two.yaml").write_text(
        "apiVersion: runwright.dev/v1alpha1\nkind: Runtime\nmetadata: {name: a}\n"
        "spec: {versions: ['1.0.0'], build: {apt: [git], wrong: 1}}\n"
        "---\napiVersion: runwright.dev/v1alpha1\nkind: Job\nmetadata: {name: b}\nspec: {command: [x]}\n"
    )

    said = rnx("runtime", "validate", str(tmp_path / "two.yaml"))
    assert said.code == 1
    assert "two.yaml:1" in said.lines[0]
    assert 'unknown field "spec.build.wrong"' in said.out or "spec.build.wrong: " in said.out
    assert "it is a Job: packages are a Runtime or a RuntimeTemplate" in said.out


def test_what_a_name_holds_cannot_steer_the_terminal(rnx, tmp_path):
    said = rnx("runtime", "validate", str(a_recipe(tmp_path, manifest_yaml='name: "a\\e[31m"\nversion: 1.0.0\n')))

    assert "\x1b" not in said.out


def test_a_package_is_packed_published_checked_and_published_again(rnx, here):
    a_tree(here)

    said = rnx("runtime", "pack", "tool-1.0.0", "-o", "out.tar.gz")
    assert said.out.startswith("out.tar.gz: tool@1.0.0, ")
    assert rnx("runtime", "validate", "out.tar.gz").code == 0
    said = rnx("runtime", "publish", "out.tar.gz", "--registry-dir", "reg", "--platform", "ubuntu-amd64")
    assert said.out == "tool@1.0.0 published to reg: reg/tool-1.0.0.tar.gz\n"
    said = rnx("runtime", "publish", "tool-1.0.0", "--registry-dir", "reg")
    assert said.out == "tool@1.0.0 is already published in reg: reg/tool-1.0.0.tar.gz\n"
    assert rnx("registry", "verify", "reg").out == "✓ Found 1 version(s) of 1 runtime(s)\n"
    assert rnx("runtime", "validate", "reg").code == 0


def test_a_changed_package_of_the_same_version_is_not_published(rnx, here):
    a_tree(here)
    rnx("runtime", "publish", "tool-1.0.0", "--registry-dir", "reg")
    (here / "tool-1.0.0/isolated/bin/tool").write_text("changed")

    said = rnx("runtime", "publish", "tool-1.0.0", "--registry-dir", "reg")
    assert said.code == 1
    assert said.err.startswith("error: cannot publish tool@1.0.0 to reg: this version is there with another checksum")


def test_a_registry_is_signed_and_verified(rnx, here):
    a_tree(here)
    public = rnx("registry", "keygen", "key").out.strip()
    rnx("runtime", "publish", "tool-1.0.0", "--registry-dir", "reg", "--sign", "key")

    assert "✓ Signature valid" in rnx("registry", "verify", "reg", "--public-key", public).out
    assert "✓ Signature valid" in rnx("registry", "verify", "reg/registry.json", "--public-key", "key.pub").out
    (here / "reg/registry.json.sig").write_text("AAAA")
    said = rnx("registry", "verify", "reg", "--public-key", "key.pub")
    assert (said.code, said.lines[0][:19]) == (1, "✗ Signature invalid")
    assert rnx("registry", "sign", "reg", "--key", "key").code == 0
    assert rnx("registry", "verify", "reg", "--public-key", "key.pub").code == 0


def test_what_is_no_key_for_what_is_done_is_told_with_what_would_be(rnx, here):
    a_tree(here)
    rnx("registry", "keygen", "key")
    rnx("runtime", "publish", "tool-1.0.0", "--registry-dir", "reg", "--sign", "key")

    said = rnx("registry", "sign", "reg", "--key", "key.pub")
    why = "error: cannot use the key key.pub: it is a public key, and signs nothing: give the private one, key\n"
    assert (said.code, said.err) == (1, why)
    said = rnx("registry", "verify", "reg", "--public-key", "nofile")
    why = "it must be the base64 of 32 bytes, or a file that holds that: there is no file nofile"
    assert (said.code, said.err) == (1, f"error: cannot use the public key: {why}\n")
    said = rnx("registry", "verify", "reg", "--public-key", "reg/registry.json")
    why = "cannot use the public key reg/registry.json: it must be the base64 of 32 bytes"
    assert (said.code, said.err) == (1, f"error: {why}\n")


def test_a_registry_is_served_until_it_is_interrupted(rnx, here):
    a_tree(here)
    rnx("runtime", "publish", "tool-1.0.0", "--registry-dir", "reg")
    command = [sys.executable, "-m", "api.cli.main", "registry", "serve", str(here / "reg"), "--listen", "127.0.0.1:0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as serving:
        assert serving.stdout is not None
        url = serving.stdout.readline().decode().split()[-1]
        assert list(httpx.get(url).json()["runtimes"]) == ["tool"]
        serving.send_signal(signal.SIGINT)
        assert serving.wait(20) == 130


@pytest.mark.parametrize("address", ["8700", "host", ":80", "127.0.0.1:x", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_refused(rnx, here, address):
    a_tree(here)
    rnx("runtime", "publish", "tool-1.0.0", "--registry-dir", "reg")

    said = rnx("registry", "serve", "reg", "--listen", address)
    assert (said.code, "write HOST:PORT" in said.err) == (2, True)


def test_what_is_no_archive_is_said_in_one_line(rnx, here):
    (here / "p").write_text("text")

    said = rnx("runtime", "publish", "p", "--registry-dir", "reg")

    assert (said.code, said.err.splitlines()) == (
        1, ["error: cannot read p: it is no archive: give a .zip or a .tar, packed or not"]
    )  # fmt: skip


def test_a_file_that_holds_nothing_is_told_so(rnx, here):
    (here / "empty.yaml").write_text("")
    rnx("runtime", "init", "mine")

    alone, beside = rnx("runtime", "validate", "empty.yaml"), rnx("runtime", "validate", "mine", "empty.yaml")

    assert [(said.code, said.err) for said in (alone, beside)] == [
        (1, "error: empty.yaml holds no package and no Runtime\n")
    ] * 2
    assert "Checking: mine" in beside.out
