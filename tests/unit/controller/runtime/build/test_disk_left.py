"""When a build has taken all of the disk that it may."""

import os

from controller.runtime.build import disk_left


def a_disk(free_blocks: int, files: int = 1000, free_files: int = 1000) -> os.statvfs_result:
    return os.statvfs_result((4096, 4096, 10**6, free_blocks, free_blocks, files, free_files, free_files, 0, 255))


def test_a_disk_with_enough_of_all_lacks_nothing():
    assert disk_left.lacking(a_disk(1000), 1000 * 4096) == ""


def test_too_little_space_is_said_in_numbers():
    assert disk_left.lacking(a_disk(256), 2 << 20) == "1 MiB are left on its disk, 2 MiB must be"


def test_too_few_files_that_can_be_made_are_too_little_too():
    said = disk_left.lacking(a_disk(1000, files=10_000, free_files=99), 1)

    assert said == "99 more files can be made on its disk, 100 must be left"


def test_a_file_system_that_does_not_count_its_files_lacks_none():
    assert disk_left.lacking(a_disk(1000, files=0, free_files=0), 1) == ""


def test_a_file_may_become_as_large_as_what_may_be_taken_and_small_ones_can_always_be_made():
    assert disk_left.largest_file_bytes(a_disk(1000), 1000) == 1000 * 4096 - 1000
    assert disk_left.largest_file_bytes(a_disk(1), 1 << 30) == 1 << 20
