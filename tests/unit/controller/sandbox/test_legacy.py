"""What a job without a runtime sees of the host."""

from controller.sandbox.legacy import legacy_binds
from controller.sandbox.spec import Bind

MERGED = {"bin": "usr/bin", "home": None, "lib": "usr/lib", "opt": None, "root": None, "usr": None, "var": None}
ETC = {"localtime": "/usr/share/zoneinfo/UTC", "passwd": None, "shadow": None, "ssl": None}


def test_a_merged_usr_is_bound_and_linked_to():
    binds, symlinks = legacy_binds(MERGED, ETC)

    assert Bind("/usr", "/usr") in binds
    assert ("/bin", "usr/bin") in symlinks


def test_directories_that_are_no_links_are_bound():
    binds, symlinks = legacy_binds({"bin": None, "usr": None}, {})

    assert [bind.target for bind in binds] == ["/bin", "/usr"]
    assert symlinks == ()


def test_no_home_no_state_and_no_account_is_shown():
    binds, symlinks = legacy_binds(MERGED, ETC)

    shown = {bind.target for bind in binds} | {path for path, _ in symlinks}
    assert shown == {"/usr", "/bin", "/lib", "/etc/ssl", "/etc/localtime"}


def test_everything_is_read_only():
    assert all(bind.read_only for bind in legacy_binds(MERGED, ETC)[0])
