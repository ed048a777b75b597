"""Patterns of artifacts: what they match, and that no pattern takes long."""

import time

import pytest

from controller.launcher.globs import Globs


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.csv", ["a.csv"], ["a.txt", "out/a.csv", "a.csvx"]),
        ("out/*.csv", ["out/a.csv"], ["a.csv", "out/x/a.csv"]),
        ("out/**/*.csv", ["out/a.csv", "out/x/a.csv", "out/x/y/a.csv"], ["a.csv", "outer/a.csv"]),
        ("**/a", ["a", "x/a", "x/y/a", "a/b"], ["ab", "x/ab"]),
        ("out/**", ["out/a", "out/x/y"], ["out", "a"]),
        ("**", ["a", "x/y"], []),
        ("out", ["out", "out/a", "out/x/y"], ["outer", "x/out"]),
        ("**/**/a", ["a", "x/a", "x/y/z/a"], ["b"]),
        ("?[0-9]", ["a1", "a1/b"], ["a", "ab", "1"]),
        ("[!a]x", ["bx"], ["ax"]),
        ("a.b", ["a.b"], ["aXb"]),
    ],
)
def test_a_pattern_matches_what_it_says(pattern, matching, others):
    globs = Globs((pattern,))

    assert [path for path in (*matching, *others) if globs.match(path)] == matching


def test_a_directory_that_can_hold_nothing_that_matches_is_not_entered():
    globs = Globs(("out/*.csv", "logs/**/last"))

    assert not globs.after(globs.start, "elsewhere")
    assert globs.after(globs.start, "out")
    assert globs.after(globs.after(globs.start, "logs"), "any")
    assert not globs.after(globs.after(globs.start, "out"), "deeper.d")


def test_no_pattern_takes_long():
    begun = time.perf_counter()

    assert not Globs(("*a" * 500 + "b",)).match("a" * 255)
    assert not Globs(("**/" * 300 + "x",)).match("/".join("a" * 300))
    assert time.perf_counter() - begun < 5
