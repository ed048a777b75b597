"""What a build must leave of the disk that it writes to: space, and files that can be made.

Pure: takes what statvfs says.
"""

import os

_MOST_FILES_LEFT = 100_000
_SHARE_OF_FILES_LEFT = 100
_LEAST_FILE_BYTES = 1 << 20


def lacking(disk: os.statvfs_result, floor_bytes: int) -> str:
    """Say what is short on a disk of which `floor_bytes` must stay free; "" while nothing is."""
    free = disk.f_bavail * disk.f_frsize
    if free < floor_bytes:
        return f"{free >> 20} MiB are left on its disk, {floor_bytes >> 20} MiB must be"
    if disk.f_files and floor_bytes:  # Some file systems make as many as there is space for, and say 0.
        floor = min(_MOST_FILES_LEFT, disk.f_files // _SHARE_OF_FILES_LEFT)
        if disk.f_favail < floor:
            return f"{disk.f_favail} more files can be made on its disk, {floor} must be left"
    return ""


def largest_file_bytes(disk: os.statvfs_result, floor_bytes: int) -> int:
    """Return how large a file may become: all that may be taken of the disk."""
    return max(disk.f_bavail * disk.f_frsize - floor_bytes, _LEAST_FILE_BYTES)
