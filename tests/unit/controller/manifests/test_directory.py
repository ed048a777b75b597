import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from controller.engine.clock import SystemClock
from controller.manifests.directory import DirectoryFeed
from controller.manifests.sources import FeedError, Reading
from support.hand_clock import HandClock
from support.manifests import a_manifest, put, put_fresh

_UNTIL_SECONDS = 30.0
"""Events of a thousand files wake us as often as they like, on whatever machine."""


def names(reading: Reading | None) -> list[str]:
    assert reading is not None
    return [p.document["metadata"]["name"] for entry in reading.entries for p in entry.documents]


def look(feed: DirectoryFeed) -> Reading | None:
    return feed.look(thoroughly=False)


def test_what_is_there_is_read_and_when_nothing_changes_there_is_no_news(feed: DirectoryFeed, root: Path):
    put(root / "b.yaml", a_manifest("b"))
    put(root / "a.yaml", a_manifest("a"))

    assert names(look(feed)) == ["a", "b"]
    assert look(feed) is None
    assert names(feed.look(thoroughly=True)) == ["a", "b"]


def test_a_file_that_changes_comes_and_goes_is_news(feed: DirectoryFeed, root: Path):
    put(root / "a.yaml", a_manifest("a"))
    look(feed)

    put(root / "a.yaml", a_manifest("changed"))
    assert names(look(feed)) == ["changed"]
    put(root / "new.yaml", a_manifest("new"))
    assert names(look(feed)) == ["changed", "new"]
    (root / "a.yaml").unlink()
    assert names(look(feed)) == ["new"]


def test_a_file_that_was_only_touched_is_no_news(feed: DirectoryFeed, root: Path):
    put(root / "a.yaml", a_manifest("a"))
    look(feed)

    os.utime(root / "a.yaml", (1000, 1000))

    assert look(feed) is None


def test_a_file_that_is_being_written_is_not_believed_until_it_rests(feed: DirectoryFeed, root: Path, clock: HandClock):
    put(root / "a.yaml", a_manifest("before"))
    look(feed)

    put_fresh(root / "a.yaml", a_manifest("half"))
    first = look(feed)
    clock.advance(0.9)
    put_fresh(root / "a.yaml", a_manifest("nearly-whole"))
    second = look(feed)
    clock.advance(0.9)
    third = look(feed)
    clock.advance(0.1)

    assert (first, second, third) == (None, None, None)
    assert names(look(feed)) == ["nearly-whole"]


def test_a_file_that_is_closed_is_believed_at_once(feed: DirectoryFeed, root: Path):
    put_fresh(root / "a.yaml", a_manifest("a"))

    feed.heard(str(root / "a.yaml"), is_closed=True)

    assert names(look(feed)) == ["a"]


def test_a_file_that_is_opened_again_after_it_was_closed_is_not_believed(feed: DirectoryFeed, root: Path):
    put_fresh(root / "a.yaml", a_manifest("a"))

    feed.heard(str(root / "a.yaml"), is_closed=True)
    feed.heard(str(root / "a.yaml"), is_closed=False)

    assert names(look(feed)) == []


def test_while_a_new_file_is_being_written_nothing_may_be_pruned(feed: DirectoryFeed, root: Path, clock: HandClock):
    put_fresh(root / "a.yaml", "apiVersion: runwright")

    reading = look(feed)

    assert reading is not None
    assert (reading.entries, reading.keep_all) == ((), "a.yaml is being written")
    assert feed.look_again_seconds() == 0.2


def test_a_torn_file_is_reported_only_once_it_was_left_like_that(feed: DirectoryFeed, root: Path, clock: HandClock):
    put(root / "a.yaml", a_manifest("before"))
    look(feed)
    put_fresh(root / "a.yaml", 'metadata: {name: "to')
    feed.heard(str(root / "a.yaml"), is_closed=True)

    at_once = look(feed)
    clock.advance(1.0)
    later = look(feed)

    assert at_once is None
    assert later is not None
    [entry] = later.entries
    assert entry.problem is not None
    assert entry.problem.message.startswith("a.yaml:1:21: not YAML: found unexpected end of stream")


def test_a_new_file_that_never_rests_is_reported_and_holds_nothing_up(
    feed: DirectoryFeed, root: Path, clock: HandClock
):
    readings = []
    for number in range(15):
        put_fresh(root / "a.yaml", a_manifest(command="x" * number))
        readings += [reading] if (reading := look(feed)) is not None else []
        clock.advance(0.9)

    first, last = readings
    assert first.keep_all == "a.yaml is being written"
    assert (last.keep_all, last.entries[0].problem.message) == (
        "",
        "a.yaml: it has been written to for more than 10 s: close it",
    )


def test_a_file_that_cannot_be_read_is_reported_and_keeps_everything(feed: DirectoryFeed, root: Path):
    put(root / "a.yaml", a_manifest("a"))
    (root / "b.yaml").symlink_to("nowhere")

    reading = look(feed)

    assert names(reading) == ["a"]
    assert reading is not None
    assert reading.keep_all == "b.yaml cannot be read"
    assert reading.entries[1].problem.message == "b.yaml: No such file or directory: make it readable, or remove it"


def test_a_manifest_of_ten_megabytes_is_reported_and_others_are_read(feed: DirectoryFeed, root: Path):
    put(root / "a.yaml", b"x" * (10 << 20))
    put(root / "b.yaml", a_manifest("b"))

    reading = look(feed)

    assert names(reading) == ["b"]
    assert reading.entries[0].problem.message == "a.yaml: it has 10485760 bytes, the most is 4194304: split it"


def test_a_name_that_is_no_text_can_be_printed(feed: DirectoryFeed, root: Path):
    put(Path(os.fsdecode(os.fsencode(root) + b"/\xff.yaml")), a_manifest("a"))

    assert look(feed).entries[0].name == "\\xff.yaml"


def test_a_directory_that_goes_is_an_error_and_is_found_when_it_comes_back(feed: DirectoryFeed, root: Path):
    put(root / "a.yaml", a_manifest("a"))
    look(feed)
    shutil.move(root, root.with_name("away"))

    with pytest.raises(FeedError, match="nothing is pruned"):
        look(feed)
    assert feed.look_again_seconds() == 2.0
    shutil.move(root.with_name("away"), root)

    assert names(look(feed)) == ["a"]


class Watched:
    """A directory that is watched for real, by inotify."""

    def __init__(self, root: Path) -> None:
        self.feed = DirectoryFeed(root, SystemClock())
        self.woken = threading.Event()
        self.held: list[str] | None = None

    def until(self, wanted: list[str]) -> None:
        """Look whenever woken, and often enough for files to settle, until the directory holds `wanted`."""
        give_up = time.monotonic() + _UNTIL_SECONDS
        while time.monotonic() < give_up:
            self.woken.clear()
            reading = look(self.feed)
            self.held = names(reading) if reading is not None else self.held
            if self.held == wanted:
                return
            self.woken.wait(0.2)
        raise AssertionError(f"the directory holds {self.held}")


@pytest.fixture
def watched(root: Path):
    made = Watched(root)
    made.feed.start(made.woken.set)
    yield made
    made.feed.stop()


def test_a_file_that_is_written_wakes_and_is_believed_when_it_is_closed(watched: Watched, root: Path):
    watched.until([])

    with open(root / "a.yaml", "w") as file:
        file.write(a_manifest("a"))
        file.flush()
        assert watched.woken.wait(10)
        assert names(look(watched.feed)) == []
    watched.until(["a"])


def test_our_own_reading_wakes_nobody(watched: Watched, root: Path):
    (root / "a.yaml").write_text(a_manifest("a"))
    watched.until(["a"])
    watched.woken.clear()

    watched.feed.look(thoroughly=True)
    (root / "a.yaml").read_text()

    assert not watched.woken.wait(0.3)


def test_a_swapped_link_takes_effect(watched: Watched, root: Path):
    for release in ("1", "2"):
        (root / f"..{release}").mkdir()
        put(root / f"..{release}" / "job.yaml", a_manifest(f"release-{release}"))
    (root / "..data").symlink_to("..1")
    (root / "job.yaml").symlink_to("..data/job.yaml")
    watched.until(["release-1"])

    (root / "..data_tmp").symlink_to("..2")
    (root / "..data_tmp").rename(root / "..data")

    assert watched.woken.wait(10)
    watched.until(["release-2"])


def test_an_editor_that_writes_aside_and_renames_is_followed(watched: Watched, root: Path):
    put(root / "a.yaml", a_manifest("before"))
    watched.until(["before"])

    (root / "4913").touch()
    (root / "4913").unlink()
    (root / ".a.yaml.swp").write_text("junk")
    (root / "a.yaml").rename(root / "a.yaml~")
    (root / "a.yaml").write_text(a_manifest("after"))
    (root / "a.yaml~").unlink()

    watched.until(["after"])
    assert watched.held == ["after"]


def test_a_directory_that_was_replaced_is_watched_again(watched: Watched, root: Path):
    watched.until([])
    shutil.rmtree(root)
    root.mkdir()
    watched.until([])
    watched.woken.clear()

    (root / "a.yaml").write_text(a_manifest("a"))

    assert watched.woken.wait(10)
    watched.until(["a"])


def test_a_thousand_files_at_once_are_all_read(watched: Watched, root: Path):
    (root / "sub").mkdir()
    for number in range(1000):
        (root / "sub" / f"{number:04}.yaml").write_text(a_manifest(f"n-{number:04}"))

    watched.until([f"n-{number:04}" for number in range(1000)])
    assert len(watched.held) == 1000
