"""Who processes of this host are to the API."""

import grp
import os
import pwd

import pytest

from api.access.users import AUTHENTICATED, MASTERS
from controller.daemon.api_settings import ApiSettings, split_listen
from controller.daemon.host_users import HostUsers

NOBODY = pwd.getpwnam("nobody")
ITS_GROUP = grp.getgrgid(NOBODY.pw_gid).gr_name


def test_root_is_the_master_and_so_is_who_runs_the_daemon():
    for host_uid in (0, os.geteuid()):
        user = HostUsers(()).user(host_uid, frozenset())
        assert user is not None
        assert user.is_master


def test_others_are_nobody_until_a_group_of_theirs_is_let_in():
    assert HostUsers(()).user(NOBODY.pw_uid, frozenset({NOBODY.pw_gid})) is None
    assert HostUsers([f"{ITS_GROUP}=developers"]).user(NOBODY.pw_uid, frozenset({12345})) is None


def test_members_of_a_group_are_users_of_another_for_roles_and_never_masters():
    user = HostUsers([f"{ITS_GROUP}=developers"]).user(NOBODY.pw_uid, frozenset({NOBODY.pw_gid}))

    assert user is not None
    assert (user.name, user.groups) == ("unix:nobody", ("developers", AUTHENTICATED))
    assert MASTERS not in user.groups


def test_a_uid_without_a_name_is_a_user_all_the_same():
    user = HostUsers([f"{ITS_GROUP}=developers"]).user(3999999, frozenset({NOBODY.pw_gid}))

    assert user is not None
    assert user.name == "unix:3999999"


def test_a_group_that_is_not_there_is_named():
    with pytest.raises(LookupError, match="no-such-group-here"):
        HostUsers(["no-such-group-here=developers"])


@pytest.mark.parametrize("text", ["staff", "staff=", "=developers", "staff=system:masters"])
def test_settings_let_no_group_be_what_only_the_server_gives(text):
    with pytest.raises(ValueError, match="UNIX=GROUP|no unix group"):
        ApiSettings(socket_groups=(text,))


@pytest.mark.parametrize("text", ["6443", ":6443", "host", "host:", "host:x", "host:70000", "::1:6443", "host:-1"])
def test_an_address_without_host_and_port_is_refused(text):
    with pytest.raises(ValueError, match=r"write"):
        split_listen(text)
