"""Asking at once for all that the kernel reads to mount an ext4: by itself it waits for one block after the other.

On a busy host that waiting, each time for the loop device's thread, is what a mount costs. Here: which blocks those
are, and asking for them. Invariant: nothing depends on it but time.
"""

import os
from collections.abc import Iterable
from struct import Struct

_BLOCK_BYTES = 4096
# Source: Linux, Documentation/filesystems/ext4: super.rst (s_jnl_backup_type, s_jnl_blocks: the journal's map),
# group_descr.rst (bg_inode_table_lo, _hi), inodes.rst (i_block of the second inode), ifork.rst (the map).
_BACKUP_AT, _JOURNAL_MAP_AT = 1024 + 0xFD, 1024 + 0x10C
_GROUPS_BLOCK = 1
_TABLE_LOW_AT, _TABLE_HIGH_AT = 0x8, 0x28
_ROOT_MAP_AT = 256 + 0x28
_WORD = Struct("<I")
_MAP = Struct("<HHHHI" + "IHHI")
_HAS_BACKUP = 1
_MOST_HIGH = 0xFFFF  # Blocks have 48 bits; what is damaged may say more.
_MAGIC = 0xF30A


def ask(fd: int, blocks: Iterable[int]) -> None:
    """Have the device `fd` read these blocks into its cache; do not wait for it."""
    for block in blocks:
        os.posix_fadvise(fd, block * _BLOCK_BYTES, _BLOCK_BYTES, os.POSIX_FADV_WILLNEED)


def blocks_of_mount(fd: int) -> tuple[int, ...]:
    """Return the blocks that a mount of the ext4 on `fd`, and a look at its root, reads: the same ones each time.

    Raises:
        OSError: it cannot be read.
    """
    head, groups = _read(fd, 0), _read(fd, _GROUPS_BLOCK)
    high, low = (_WORD.unpack_from(groups, at)[0] for at in (_TABLE_HIGH_AT, _TABLE_LOW_AT))
    table = (high & _MOST_HIGH) << 32 | low
    journal = _first_block(head, _JOURNAL_MAP_AT) if head[_BACKUP_AT] == _HAS_BACKUP else None
    root = _first_block(_read(fd, table), _ROOT_MAP_AT)
    return tuple(block for block in (0, _GROUPS_BLOCK, table, journal, root) if block is not None)


def _read(fd: int, block: int) -> bytes:
    return os.pread(fd, _BLOCK_BYTES, block * _BLOCK_BYTES).ljust(_BLOCK_BYTES, b"\0")


def _first_block(block: bytes, at: int) -> int | None:
    """Return the first block of a file whose map is there; None if that is none, or lies deeper."""
    magic, entries, _, depth, _, first, _, start_high, start_low = _MAP.unpack_from(block, at)
    if (magic, depth, first) != (_MAGIC, 0, 0) or not entries:
        return None
    return int(start_high << 32 | start_low)
