"""What of a host is seen by builds: decided on a host of the test's own making."""

import os
import socket
import stat

import pytest

from controller.runtime.build import host_view


@pytest.fixture
def base(tmp_path):
    base = tmp_path / "host"
    for directory in (
        "usr/bin",
        "usr/sbin",
        "etc/ssh",
        "etc/apt",
        "var/lib/app",
        "var/log",
        "opt/tool",
        "data",
        "root",
        "home",
    ):
        (base / directory).mkdir(parents=True)
    (base / "bin").symlink_to("usr/bin")
    write(base / "etc/passwd", "root:x:0:0::/root:/bin/sh\nmysql:x:5:5::/:/bin/false\n")
    write(base / "etc/group", "root:x:0:\n")
    write(base / "etc/shadow", "root:$6$secret:1::::::\n", 0o640)
    write(base / "etc/shadow-", "root:$6$secret:1::::::\n", 0o600)
    write(base / "etc/ssh/ssh_host_key", "private", 0o600)
    write(base / "etc/ssh/ssh_host_key.pub", "public")
    write(base / "etc/apt/auth.conf", "password x", 0o600)
    write(base / "etc/hosts", "127.0.0.1 localhost\n")
    return base


def write(path, text, mode=0o644):
    path.write_text(text)
    path.chmod(mode)


def view(base, hidden=(), files=None):
    return host_view.look(base, hidden, files or {})


def test_data_at_the_top_is_gone_and_homes_are_empty(base):
    seen = view(base)

    assert "/data" in seen.gone
    assert seen.empty["/root"] == 0o700
    assert not seen.shows("/data/x")
    assert not seen.shows("/home/me")
    assert seen.shows("/usr/share")


def test_what_others_may_not_read_is_a_secret(base):
    deep = base / "usr/local/a/b/c/d/e/f/g/h"
    deep.mkdir(parents=True)
    write(deep / "key", "private", 0o600)
    (base / "var/lib/app").chmod(0o750)

    gone = view(base).gone

    assert {"/etc/shadow-", "/etc/ssh/ssh_host_key", "/var/lib/app", "/usr/local/a/b/c/d/e/f/g/h/key"} <= gone
    assert "/etc/ssh/ssh_host_key.pub" not in gone


def test_what_package_managers_need_is_shown_though_it_is_secret(base):
    assert "/etc/apt/auth.conf" not in view(base).gone


def test_the_data_of_programs_is_not_shown_whoever_may_read_it(base):
    (base / "var/lib/dpkg/info").mkdir(parents=True)
    (base / "var/www/html").mkdir(parents=True)
    write(base / "var/lib/app/data.db", "personal")
    write(base / "var/lib/file", "personal")
    write(base / "opt/tool/data", "personal")
    (base / "var/run").symlink_to("/run")

    seen = view(base)

    hidden = ("/var/lib/app/data.db", "/var/lib/file", "/var/www/html", "/opt/tool", "/srv/x")
    assert [path for path in hidden if seen.shows(path)] == []
    assert {"/var/lib/app", "/var/www", "/opt"} <= seen.empty.keys()
    assert seen.shows("/var/lib/dpkg/info")
    assert "/var/run" not in seen.gone


def test_accounts_are_there_without_their_passwords(base):
    files = view(base).files

    assert files["/etc/shadow"].splitlines() == ["root:*:19000:0:99999:7:::", "mysql:*:19000:0:99999:7:::"]
    assert files["/etc/gshadow"] == "root:*::\n"


def test_sockets_are_gone(base):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(base / "var/lib/s"))
    (base / "var/lib/s").chmod(0o777)

    assert "/var/lib/s" in view(base).gone


def test_the_daemons_own_places_are_gone_wherever_they_are(base):
    (base / "usr/share/daemon").mkdir(parents=True)

    seen = view(base, hidden=(base / "usr/share/daemon", base / "var/lib/app", base / "nowhere", base.parent))

    assert {"/usr/share/daemon", "/var/lib/app"} <= seen.gone
    assert seen.shows("/usr/share/other")


@pytest.mark.needs_root
def test_the_layer_hides_by_whiteouts_and_opaque_directories(base, tmp_path):
    upper = tmp_path / "upper"
    upper.mkdir()
    (base / "etc").chmod(0o711)

    view(base, files={"/root/.config/pip/pip.conf": "text"}).fill(upper, "")

    whiteout = os.lstat(upper / "data")
    assert stat.S_ISCHR(whiteout.st_mode)
    assert whiteout.st_rdev == 0
    assert os.getxattr(upper / "home", "trusted.overlay.opaque") == b"y"
    assert (upper / "root/.config/pip/pip.conf").stat().st_mode & 0o777 == 0o600
    assert (upper / "etc").stat().st_mode & 0o777 == 0o711
    assert (upper / "usr/sbin/policy-rc.d").stat().st_mode & 0o777 == 0o755


@pytest.mark.needs_root
def test_the_layer_of_a_file_system_of_its_own_has_what_lies_in_it(base, tmp_path):
    upper = tmp_path / "upper"
    upper.mkdir()
    (base / "var/lib/app").chmod(0o700)

    view(base).fill(upper, "/var")

    assert sorted(os.listdir(upper)) == ["backups", "crash", "lib", "log", "mail", "spool", "tmp"]
    assert os.listdir(upper / "lib") == ["app"]
