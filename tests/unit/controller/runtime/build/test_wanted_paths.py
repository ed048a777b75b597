"""Which paths of a root are carried."""

import pytest

from controller.runtime.build import wanted_paths


@pytest.mark.parametrize(
    "path",
    [
        "usr/bin/sh", "etc/ssl/certs/ca-certificates.crt", "usr/share/doc/bash/copyright", "srv/app/x", "opt/x",
        "usr/share/go-1.19/src/fmt/print.go", "var/lib/app/data", "usr/lib/python3/dist-packages/x.py",
    ],
)  # fmt: skip
def test_what_a_job_can_use_is_carried_from_packages_and_of_what_was_made(path):
    assert wanted_paths.carried({path}, (), ())(path)
    assert wanted_paths.carried((), {path}, ())(path)


@pytest.mark.parametrize(
    "path",
    [
        "usr/share/man/man1/sh.1.gz", "usr/share/doc/bash/changelog.gz", "usr/share/locale/de/x.mo", "var/cache/apt/x",
        "var/lib/dpkg/status", "etc/shadow", "etc/passwd-", "root/.cache/pip/x", "tmp/x", "proc/1", "etc/rc2.d/S01x",
        "usr/lib/python3.11/__pycache__/os.cpython-311.pyc", "etc/ld.so.cache", "usr/sbin/policy-rc.d",
        "usr/share/go-1.19/src/debug/elf/testdata/gcc-386-freebsd-exec", "etc/x.dpkg-old", "build/pip/report.json",
    ],
)  # fmt: skip
def test_what_is_of_use_while_building_only_stays(path):
    assert not wanted_paths.carried({path}, {path}, ())(path)


def test_what_is_named_is_carried_wherever_it_is():
    assert wanted_paths.carried((), (), {"usr/share/man/man1/own.1"})("usr/share/man/man1/own.1")


def test_accounts_are_carried_but_not_their_passwords():
    is_carried = wanted_paths.carried({"etc/passwd", "etc/shadow"}, (), ())

    assert (is_carried("etc/passwd"), is_carried("etc/shadow")) == (True, False)


def test_what_nobody_wants_stays():
    assert not wanted_paths.carried({"usr/bin/sh"}, {"opt/x"}, ())("usr/bin/apt")
