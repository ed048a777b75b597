"""What authors are told of their packages, before anybody installs them."""

import os
import socket
from pathlib import Path

import pytest

from api.packages import checks, listing
from api.packages.findings import Report
from support.packages import a_recipe, a_tree, an_elf


def check(directory: Path) -> Report:
    return checks.check(listing.of_directory(directory))


def messages(report: Report) -> list[str]:
    return [str(finding) for finding in report.findings]


def test_a_good_recipe_is_told_so_in_the_words_of_the_documents(tmp_path):
    report = check(a_recipe(tmp_path))

    assert report.subject == "python-3.11-ml"
    assert messages(report)[:3] == [
        "✓ Runtime name valid: python-3.11-ml",
        "✓ Version format valid: 1.3.2",
        "✓ Found 2 setup script(s)",
    ]
    assert (report.errors, report.warnings) == ((), ())


@pytest.mark.parametrize("name", ["Python-3.11-ML", "python_3.11_ml", "python@3.11-ml", "-python", "a..b"])
def test_a_name_that_no_runtime_may_have_is_an_error(tmp_path, name):
    report = check(a_recipe(tmp_path, manifest_yaml=f'name: "{name}"\nversion: 1.0.0\n'))

    assert any(error.startswith("Runtime name invalid: ") and name in error for error in report.errors)


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0.0", "latest"])
def test_a_version_that_is_none_is_an_error(tmp_path, version):
    report = check(a_recipe(tmp_path, version=version))

    assert [error[: len("Version format invalid")] for error in report.errors] == ["Version format invalid"]


def test_a_pre_release_is_a_version_and_a_warning(tmp_path):
    report = check(a_recipe(tmp_path, version="1.4.0-beta"))

    assert report.errors == ()
    assert "1.4.0-beta is a pre-release" in report.warnings[0]


def test_a_recipe_without_its_manifest_is_an_error(tmp_path):
    assert check(a_recipe(tmp_path, manifest_yaml=None)).errors == (
        "manifest.yaml not found: it gives name and version",
    )


def test_what_the_manifest_does_not_say_is_named(tmp_path):
    assert check(a_recipe(tmp_path, manifest_yaml="description: x\n")).errors == (
        "manifest.yaml does not give the name",
        "manifest.yaml does not give the version",
    )


def test_a_manifest_that_is_no_yaml_is_told_with_its_line(tmp_path):
    (error,) = check(a_recipe(tmp_path, manifest_yaml="name: a\n\tversion: 1\n")).errors

    assert error.startswith("manifest.yaml:2:1: it is not YAML")


def test_an_unquoted_version_is_read_as_it_is_written(tmp_path):
    report = check(a_recipe(tmp_path, manifest_yaml="name: python-3.11-ml\nversion: 1.10.0\npython_version: 3.10\n"))

    assert "✓ Version format valid: 1.10.0" in messages(report)


def test_a_directory_of_another_name_is_a_warning(tmp_path):
    directory = a_recipe(tmp_path).rename(tmp_path / "other")

    assert check(directory).warnings == ('Directory name "other" does not match manifest name "python-3.11-ml"',)


def test_a_recipe_without_scripts_for_platforms_is_a_warning(tmp_path):
    report = check(a_recipe(tmp_path, setup_ubuntu_amd64_sh=None, setup_rhel_amd64_sh=None))

    assert report.errors == ()
    assert report.warnings == ("No setup scripts found (setup-*.sh): setup.sh is used on every platform",)


def test_a_recipe_without_any_script_would_not_install(tmp_path):
    report = check(a_recipe(tmp_path, setup_sh=None, setup_ubuntu_amd64_sh=None, setup_rhel_amd64_sh=None))

    assert report.errors == ("no runtime.yml or setup.sh found: a recipe needs setup-PLATFORM.sh or setup.sh",)


def test_platforms_and_scripts_that_do_not_agree_are_warnings(tmp_path):
    report = check(
        a_recipe(tmp_path, setup_sh=None, setup_rhel_amd64_sh=None, **{"setup-amzn-arm64.sh": "#!/bin/sh\n"})
    )

    assert report.warnings == (
        "rhel-amd64 is promised, and there is no setup-rhel-amd64.sh",
        "setup-amzn-arm64.sh is there, and platforms does not name amzn-arm64: it is never used",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#!/bin/bash\r\nexit 0\r\n", "has the line ends of Windows"),
        ("\ufeff#!/bin/bash\n", "begins with a byte order mark"),
        ("", "is empty"),
    ],
)
def test_a_script_that_bash_cannot_run_is_an_error(tmp_path, text, said):
    directory = a_recipe(tmp_path)
    (directory / "setup.sh").write_bytes(text.encode())

    assert [said in error and error.startswith("setup.sh ") for error in check(directory).errors] == [True]


def test_packages_without_a_version_are_a_warning(tmp_path):
    manifest = "name: python-3.11-ml\nversion: 1.0.0\npackages: [numpy, '@scope/x', a==1]\n"

    assert check(a_recipe(tmp_path, manifest_yaml=manifest)).warnings == (
        "2 package(s) without a version, numpy for one: builds differ from day to day",
    )


def test_a_good_tree_is_told_so(tmp_path):
    report = check(a_tree(tmp_path))

    assert (report.errors, report.warnings) == ((), ())
    assert "✓ Found 1 mount(s), and all that they name" in messages(report)


def test_a_mount_of_what_is_not_there_is_an_error(tmp_path):
    report = check(a_tree(tmp_path, more="  - {source: isolated/lib, target: /lib}\n"))

    assert report.errors == ("cannot mount isolated/lib at /lib: it is not in the tree",)


def test_a_mount_that_leads_out_through_a_link_is_an_error(tmp_path):
    report = check(a_tree(tmp_path, more="  - {source: isolated/var/absolute, target: /x}\n"))

    assert report.errors == ("cannot mount isolated/var/absolute at /x: it leads out of the tree of the runtime",)


def test_problems_of_runtime_yml_are_told_with_their_place(tmp_path):
    report = check(a_tree(tmp_path, more="  - {source: ../etc, target: /etc}\nextra: 1\n"))

    assert len(report.errors) == 1
    assert report.errors[0].startswith("runtime.yml:5:")


def test_programs_of_another_architecture_than_promised_are_an_error(tmp_path):
    tree = a_tree(tmp_path, more="requirements: {architectures: [x86_64]}\n")
    (tree / "isolated/bin/program").write_bytes(an_elf(183))

    assert check(tree).errors == ("requirements.architectures says amd64, and its programs are arm64",)


def test_what_installs_refuse_is_refused_here(tmp_path):
    tree = a_tree(tmp_path)
    os.mkfifo(tree / "isolated/pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tree / "s"))
        os.symlink("/etc/passwd", tree / "passwd")
        (tree / "isolated/A").touch(), (tree / "isolated/a").touch()

        assert sorted(check(tree).errors) == [
            "isolated/A and isolated/a differ in case or Unicode form only: rename one of them",
            "isolated/pipe is a pipe: only files, directories and links may be in a package",
            "s is a socket: only files, directories and links may be in a package",
            "the link passwd -> /etc/passwd is absolute: only links below isolated/ may be",
        ]


def test_of_very_many_problems_the_first_are_told(tmp_path):
    tree = a_tree(tmp_path)
    for number in range(20):
        os.mkfifo(tree / f"p{number:02}")

    errors = check(tree).errors
    assert len(errors) == 6
    assert errors[-1] == "and 15 more entries that may not be in it"


def test_a_file_with_the_rights_of_its_owner_is_a_warning(tmp_path):
    tree = a_tree(tmp_path)
    (tree / "isolated/bin/tool").chmod(0o4755)

    assert check(tree).warnings == ("isolated/bin/tool set user or group ids: installs take that away",)


def test_a_directory_that_is_no_package_is_told(tmp_path):
    (tmp_path / "readme").touch()

    assert check(tmp_path).errors == (
        "no runtime.yml or setup.sh found: a package has the one or the other at its top",
    )
