"""Reading a host's CDI directories: what each file says, and what is wrong with which.

Invariant: a file that cannot be used disturbs no other, and one that others than root may write is not used: it says
which of the host's files and devices a run is given.
"""

import json
import os
import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml

from controller.devices import cdi
from controller.devices.cdi import InvalidCdi, Spec
from controller.devices.inventory import Inventory, merge
from controller.linux.bounded import read_bounded

_ENDINGS = (".json", ".yaml")
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_Signature: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """One file of a directory, as the directory has it."""

    path: Path
    status: os.stat_result

    @property
    def signature(self) -> _Signature:
        """What is different whenever the file is."""
        status = self.status
        return (str(self.path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class CdiDirectories:
    """The devices that the specs in some directories declare, read again whenever a file changed. For many threads."""

    def __init__(self, directories: Sequence[str]) -> None:
        """Read `directories`, of which later ones win."""
        self._directories = tuple(directories)
        self._lock = threading.Lock()
        self._signature: _Signature | None = None
        self._inventory = Inventory(directories=self._directories)

    def inventory(self) -> Inventory:
        """Return what is declared now."""
        with self._lock:
            problems: list[str] = []
            files = [_files(Path(directory), problems) for directory in self._directories]
            signature: _Signature = (*(tuple(one.signature for one in some) for some in files), tuple(problems))
            if signature != self._signature:
                specs = [_specs(some, problems) for some in files]
                self._inventory = merge(specs, problems, self._directories)
                self._signature = signature
            return self._inventory


def _files(directory: Path, problems: list[str]) -> list[_Found]:
    try:
        _refuse_what_others_may_write(directory, directory.stat())
        names = sorted(os.listdir(directory))
        found = [
            _Found(directory / name, os.stat(directory / name))
            for name in names
            if name.endswith(_ENDINGS) and os.path.isfile(directory / name)
        ]
    except FileNotFoundError:
        return []
    except InvalidCdi as error:
        problems.append(str(error))
        return []
    except OSError as error:
        problems.append(f"cannot read {directory}: {error.strerror}")
        return []
    return found


def _specs(files: Sequence[_Found], problems: list[str]) -> list[Spec]:
    specs = []
    for file in files:
        try:
            specs.append(read(file.path))
        except InvalidCdi as error:
            problems.append(str(error))
    return specs


def read(path: Path) -> Spec:
    """Return what the spec in the file `path` says.

    Raises:
        InvalidCdi: it cannot be read or used; the message names it.
    """
    try:
        _refuse_what_others_may_write(path, path.stat())
        text = read_bounded(path.resolve()).decode()
        document = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise InvalidCdi(f"cannot use {path}: {error.strerror}") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, InvalidCdi):
            raise
        why = " ".join(str(error).split())
        raise InvalidCdi(f"cannot use {path}: it is no {path.suffix[1:].upper()}: {why}") from error
    return cdi.parse(document, str(path))


def _refuse_what_others_may_write(path: Path, status: os.stat_result) -> None:
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & _OTHERS_MAY_WRITE:
        raise InvalidCdi(f"cannot use {path}: others than root may write it: chown root and chmod go-w")
