"""What is kept of an archive's entries while it is unpacked."""

import tracemalloc

import pytest

from controller.runtime.archives.seen import Below, Kind, Seen

MiB = 1 << 20


def a_seen(**entries: Kind) -> Seen:
    seen = Seen()
    for path, kind in entries.items():
        seen.add(path, kind)
    return seen


def test_fifty_thousand_entries_take_little_memory_however_long_their_names_are():
    seen, prefix = Seen(), "LONG/" * 200
    tracemalloc.start()
    try:
        for number in range(50_000):
            path = f"{prefix}{number}"
            seen.add(path, Kind.FILE)
            seen.set_content(path, b"x" * 32)
        assert tracemalloc.get_traced_memory()[1] < 10 * MiB
    finally:
        tracemalloc.stop()
    assert len(seen) == 50_000
    assert seen.get(f"{prefix}4711") == b"x" * 32


def test_an_entry_is_known_by_its_very_name():
    seen = a_seen(Lib=Kind.DIRECTORY, x=Kind.FILE)

    assert (seen.kind("Lib"), seen.kind("x"), seen.kind("lib"), seen.kind("y")) == (
        Kind.DIRECTORY,
        Kind.FILE,
        None,
        None,
    )


def test_an_entry_is_told_to_be_like_another_that_came_before():
    seen = a_seen(Lib=Kind.DIRECTORY, x=Kind.FILE)

    assert (seen.kind_alike("LIB"), seen.kind_alike("X"), seen.kind_alike("y")) == (Kind.DIRECTORY, Kind.FILE, None)


def test_directories_that_are_alike_are_both_in_it():
    seen = a_seen(Lib=Kind.DIRECTORY, lib=Kind.DIRECTORY, LIB=Kind.DIRECTORY)

    assert [seen.kind(each) for each in ("Lib", "lib", "LIB", "lIB")] == [Kind.DIRECTORY] * 3 + [None]
    assert len(seen) == 3


def test_only_files_have_content():
    seen = a_seen(d=Kind.DIRECTORY, l=Kind.SYMLINK, f=Kind.FILE, h=Kind.HARDLINK)
    seen.set_content("f", b"1" * 32)
    seen.set_content("h", b"2" * 32)

    assert [seen.get(each) for each in "dlfh"] == [None, None, b"1" * 32, b"2" * 32]
    with pytest.raises(KeyError):
        seen.set_content("none", b"3" * 32)


@pytest.mark.parametrize(
    ("paths", "top"),
    [
        ({}, None),
        ({"a": Kind.FILE}, None),
        ({"a": Kind.DIRECTORY, "a/b": Kind.FILE}, "a"),
        ({"a": Kind.DIRECTORY, "b": Kind.FILE, "a/c": Kind.FILE}, None),
    ],
)
def test_a_wrapper_is_the_one_directory_that_all_lies_in(paths, top):
    assert a_seen(**paths).only_top() == top


def test_digests_below_a_directory_are_by_the_path_in_it():
    seen = a_seen(**{"w": Kind.DIRECTORY, "w/f": Kind.FILE})
    seen.set_content("w/f", b"1" * 32)

    assert (Below(seen, "w").get("f"), Below(seen, "w").get("w/f")) == (b"1" * 32, None)
