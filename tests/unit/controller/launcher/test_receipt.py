import json
from dataclasses import replace

import pytest

from controller.launcher import receipt
from controller.launcher.receipt import NotEnforced, Seen, Surroundings, Wanted
from controller.linux.capabilities import Capability

HOST = {name: 1000 + number for number, name in enumerate(receipt.NAMESPACES)}
OWN = {name: inode + 100 for name, inode in HOST.items()}
NONE = "0" * 16
STATUS = {
    "Uid": "0\t0\t0\t0",
    "Gid": "0\t0\t0\t0",
    "Groups": " ",
    **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "SigBlk", "SigIgn"), NONE),
    "NoNewPrivs": "1",
    "Seccomp": "2",
    "Seccomp_filters": "1",
    "Umask": "0022",
}
SEEN = Seen(STATUS, OWN, (0, 7000, 65536), (0, 7000, 65536), (1, 1), dumpable=False)
WANTED = Wanted(7000, 65536, Surroundings(HOST, 0))


def with_status(**changes):
    return replace(SEEN, status=STATUS | changes)


def test_what_is_as_wanted_is_accepted():
    assert receipt.judge(SEEN, WANTED) is None


def test_the_network_alone_may_be_the_hosts_and_then_is_to_be():
    on_host = replace(WANTED, host_network=True)

    assert receipt.judge(replace(SEEN, namespaces=OWN | {"net": HOST["net"]}), on_host) is None
    with pytest.raises(NotEnforced, match="its net namespace is not the host's"):
        receipt.judge(SEEN, on_host)
    with pytest.raises(NotEnforced, match="its ipc namespace is the host's"):
        receipt.judge(replace(SEEN, namespaces=OWN | {"net": HOST["net"], "ipc": HOST["ipc"]}), on_host)


@pytest.mark.parametrize(
    "seen, said",
    [
        (with_status(CapEff="0000000000000001"), "CapEff is 0000000000000001, not 0000000000000000"),
        (with_status(CapBnd="000001ffffffffff"), "CapBnd is 000001ffffffffff"),
        (with_status(CapAmb="0000000000000400"), "CapAmb is"),
        (with_status(NoNewPrivs="0"), "NoNewPrivs is 0, not 1"),
        (with_status(Seccomp="0"), "Seccomp is 0, not 2"),
        (with_status(Seccomp_filters="2"), "Seccomp_filters is 2, not 1"),
        (with_status(Uid="0\t0\t0\t5"), "Uid is"),
        (with_status(Groups="0 4"), "Groups is 0 4, not empty"),
        (with_status(SigIgn="0000000000001000"), "SigIgn is"),
        (with_status(Umask="0000"), "Umask is 0000, not 0022"),
        (replace(SEEN, uid_map=(0, 0, 4294967295)), "uid_map is 0 0 4294967295, not 0 7000 65536"),
        (replace(SEEN, gid_map=(0, 7001, 65536)), "gid_map is 0 7001 65536"),
        (replace(SEEN, gid_map=()), "gid_map is , not"),
        *((replace(SEEN, namespaces=OWN | {name: HOST[name]}), f"its {name} namespace is the host's") for name in HOST),
        (replace(SEEN, namespaces={name: inode for name, inode in OWN.items() if name != "net"}), "its net namespace"),
        (replace(SEEN, status={}), "NoNewPrivs is not there"),
        (replace(SEEN, core_limits=(0, 0)), "its limit of core files is 0 0, not 1 1"),
        (replace(SEEN, core_limits=(1, -1)), "its limit of core files is 1 -1, not 1 1"),
        (replace(SEEN, core_limits=()), "its limit of core files is not there, not 1 1"),
        (replace(SEEN, dumpable=True), "it is dumpable before its command"),
    ],
)
@pytest.mark.invariant("X6")
def test_what_differs_from_what_was_wanted_is_named_and_nothing_begins(seen, said):
    with pytest.raises(NotEnforced, match="cannot begin the run: the kernel says ") as refused:
        receipt.judge(seen, WANTED)

    assert said in str(refused.value)


def test_capabilities_that_were_given_are_wanted_in_exactly_the_sets_that_they_belong_to():
    wanted = replace(WANTED, capabilities=frozenset({Capability.CHOWN, Capability.KILL}))
    mask = "0000000000000021"
    receipt.judge(with_status(CapPrm=mask, CapEff=mask, CapBnd=mask), wanted)

    with pytest.raises(NotEnforced, match="CapPrm is 0000000000000000, not 0000000000000021"):
        receipt.judge(SEEN, wanted)
    with pytest.raises(NotEnforced, match="CapInh is 0000000000000021, not 0000000000000000"):
        receipt.judge(with_status(CapPrm=mask, CapEff=mask, CapBnd=mask, CapInh=mask), wanted)


def test_core_files_that_were_asked_for_are_wanted_of_that_size():
    receipt.judge(replace(SEEN, core_limits=(8192, 8192)), replace(WANTED, core_limit=8192))

    with pytest.raises(NotEnforced, match="its limit of core files is 1 1, not 8192 8192"):
        receipt.judge(SEEN, replace(WANTED, core_limit=8192))


def test_filters_that_the_launcher_itself_is_under_are_not_the_runs():
    under_two = replace(WANTED, surroundings=Surroundings(HOST, 2))

    receipt.judge(with_status(Seccomp_filters="3"), under_two)
    assert receipt.as_plain(with_status(Seccomp_filters="3"), 2)["seccompFilters"] == 1


def test_a_kind_of_namespace_that_the_kernel_lacks_is_not_missed():
    host = {name: inode for name, inode in HOST.items() if name != "time"}
    seen = replace(SEEN, namespaces={name: inode for name, inode in OWN.items() if name != "time"})

    assert receipt.judge(seen, replace(WANTED, surroundings=Surroundings(host, 0))) is None


def test_this_process_is_read_as_the_kernel_has_it_and_is_no_job():
    seen = receipt.parse(receipt.tell_early() + receipt.tell_late())
    surroundings = Surroundings.look()

    assert seen.namespaces == surroundings.namespaces
    with pytest.raises(NotEnforced, match="namespace is the host's"):
        receipt.judge(seen, Wanted(7000, 65536, surroundings))


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"{}\n\n1 0 1 1\nUid:\t0\0",
        b"nonsense\n\n1 0 1 1\n\0",
        b'{"namespaces": {}, "uid_map": "", "gid_map": ""}\n\nno number\n\0',
        b'{"namespaces": {"net": "x"}, "uid_map": "", "gid_map": ""}\n\n1 0 1 1\n\0',
    ],
)
def test_what_is_no_such_report_begins_nothing(told):
    with pytest.raises(NotEnforced, match="cannot tell what the run is held to"):
        receipt.parse(told)


def line(place, options, tags="", filesystem="tmpfs"):
    return f"36 35 0:30 / {place} {options}{tags} - {filesystem} none rw\n"


FINE = (
    line("/", "ro,nosuid,nodev,relatime")
    + line("/dev", "ro,nosuid,noexec,relatime")
    + line("/dev/pts", "rw,nosuid,noexec,relatime", filesystem="devpts")
    + line("/proc", "rw,nosuid,nodev,noexec,relatime", filesystem="proc")
    + line("/usr", "ro,nosuid,nodev,relatime", filesystem="ext4")
    + line("/a\\040place", "rw,nosuid,nodev")
)


def test_mounts_are_told_by_their_flags():
    mounts = receipt.judge_mounts(FINE, {"/a place"})

    assert receipt.by_flags(mounts) == {
        "ro,nosuid,nodev": ["/", "/usr"],
        "ro,nosuid,noexec": ["/dev"],
        "rw,nosuid,noexec": ["/dev/pts"],
        "rw,nosuid,nodev,noexec": ["/proc"],
        "rw,nosuid,nodev": ["/a place"],
    }


@pytest.mark.parametrize(
    "wrong",
    [
        line("/usr", "rw,nosuid,nodev"),
        line("/usr", "ro,nodev"),
        line("/usr", "ro,nosuid"),
        line("/usr", "ro,nosuid,nodev", " shared:1"),
        line("/usr", "ro,nosuid,nodev", " master:7"),
        line("/usr/lib", "rw,nosuid,nodev", filesystem="ext4"),
        *(line(f"/usr{blank}x", "rw,nosuid,nodev") for blank in "\r\v\f\x1c\x1f\x85\xa0\u2028\u3000"),
    ],
)
@pytest.mark.invariant("X6")
def test_a_mount_that_is_not_as_it_must_be_begins_nothing(wrong):
    with pytest.raises(NotEnforced, match="the kernel says of its mounts: /usr"):
        receipt.judge_mounts(FINE + wrong, {"/a place"})


@pytest.mark.parametrize(
    "odd",
    ["\n", "36 35 0:30 \n", "36 35 0:30 / /usr\n", line("", "ro,nosuid,nodev"), line("/usr", "ro,nosuid,nodev")[:-1]],
)
@pytest.mark.invariant("X6")
def test_a_line_that_is_no_mount_begins_nothing(odd):
    with pytest.raises(NotEnforced, match="the kernel says of its mounts: what is no mount: '"):
        receipt.judge_mounts(FINE + odd, {"/a place"})


def test_no_mounts_at_all_begin_nothing():
    with pytest.raises(NotEnforced, match="nothing"):
        receipt.judge_mounts("", ())


def test_very_many_mounts_are_counted_where_they_have_no_room():
    mounts = {f"/place/{'x' * 50}/{number}": "ro,nosuid,nodev" for number in range(500)}

    told = receipt.by_flags(mounts)

    shown = len(told["ro,nosuid,nodev"])
    assert sum(map(len, told["ro,nosuid,nodev"])) <= 3000
    assert told["more"] == [f"and {500 - shown} others, which were looked at as well"]


@pytest.mark.parametrize("character", ["x", "\N{CYRILLIC SMALL LETTER ZHE}", "\N{GRINNING FACE}", "\n"])
def test_the_room_that_places_take_is_counted_as_they_are_written(character):
    told = receipt.by_flags({f"/volumes/{character * 40}{number}": "rw,nosuid,nodev" for number in range(70)})

    assert len(json.dumps(told)) <= 3200
    assert told["more"]


def test_the_kernel_is_asked_for_the_flags_of_a_place():
    assert receipt.flags_of(("/proc",))["/proc"].split(",")[0] in ("rw", "ro")
