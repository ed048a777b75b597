"""`runwrightd`: the daemon's command line. Parses, checks, runs until told to end; never more.

Exit status: 0 ended as asked, 1 it cannot run (the message says why and what to do), 2 usage.
"""

import argparse
import gc
import logging
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from controller.engine import log
from controller.engine.log import LogFormat
from controller.linux.end_signals import EndSignals

if TYPE_CHECKING:
    from controller.daemon.paths import Paths
    from controller.daemon.settings import Loaded, Settings

_GC_THRESHOLDS = (10_000, 20, 20)
_EPILOG = "Stopping the daemon (SIGTERM, SIGINT) leaves runs alive; the next start finds them."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; return the exit status."""
    wanted = _parser().parse_args(arguments)
    gc.disable()  # Until all is there: what is made meanwhile stays, and would be looked at again and again.
    # Imported late, as is all that takes its time: for the collector to be off by then, and --help to answer at once.
    from controller.daemon.paths import Paths
    from controller.daemon.settings import SettingsError

    log.setup(getattr(logging, wanted.log_level.upper()), LogFormat(wanted.log_format))
    root = wanted.root.resolve()
    try:
        loaded = _load(root, wanted)
    except SettingsError as error:
        return _fail(str(error))
    if wanted.check_config:
        return _check(loaded)
    for warning in loaded.warnings:
        logging.getLogger(__name__).warning("setting ignored", extra=log.keys(problem=warning))
    paths = Paths.of(root, loaded.settings)
    if wanted.backup or wanted.restore:
        return _copy(paths, wanted)
    if wanted.rotate_secrets_key:
        return _rotate(paths)
    return _clean(loaded.settings, paths) if wanted.clean else _run(loaded.settings, paths)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runwrightd", description="Keep this host at its declared state.", epilog=_EPILOG
    )
    parser.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="move all paths under DIR, for trials"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: etc/runwright/config.yaml in the root)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one setting; repeatable"
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="serve the API with TLS too: the setting api.listen")
    parser.add_argument(
        "--log-level", default="info", choices=["debug", "info", "warning", "error"], help="default: info"
    )
    parser.add_argument("--log-format", default="text", choices=["text", "json"], help="default: text")
    parser.add_argument("--check-config", action="store_true", help="check the settings, print what is wrong, and end")
    parser.add_argument(
        "--clean", action="store_true", help="end all runs of this root, remove what they left on the host, and end"
    )
    parser.add_argument(
        "--backup", type=Path, metavar="FILE", help="copy the store to FILE, also while in use, and end"
    )
    parser.add_argument("--restore", type=Path, metavar="FILE", help="make the store from the backup FILE, and end")
    parser.add_argument(
        "--rotate-secrets-key",
        action="store_true",
        help="encrypt all Secrets anew with a new key, while no daemon runs, and end",
    )
    return parser


def _load(root: Path, wanted: argparse.Namespace) -> "Loaded":
    from controller.daemon import settings as loading

    path = wanted.config or root / "etc/runwright/config.yaml"
    overrides = (*wanted.set, *(() if wanted.listen is None else (f"api.listen={wanted.listen}",)))
    return loading.load(path, overrides, required=wanted.config is not None)


def _check(loaded: "Loaded") -> int:
    for warning in loaded.warnings:
        sys.stderr.write(f"{warning}\n")
    if not loaded.warnings:
        sys.stdout.write("settings are good\n")
    return 1 if loaded.warnings else 0


def _run(settings: "Settings", paths: "Paths") -> int:
    from api.http.server import ServerError
    from controller.daemon.host import HostError
    from controller.daemon.lock import AlreadyRunning
    from controller.daemon.manager import Manager
    from state.connection import StoreFileError

    _allow_many_connections()
    _leave_no_core()
    asked_to_end = EndSignals()
    try:
        manager = Manager(settings, paths)
    except (HostError, AlreadyRunning, StoreFileError, LookupError, OSError) as error:
        return _fail(str(error))
    try:
        manager.start()
        _leave_be()
        asked_to_end.wait()
    except (ServerError, OSError) as error:
        return _fail(str(error))
    finally:
        manager.stop()
    return 0


def _leave_be() -> None:
    """Have the collector of cycles look no more at what there is now: code, mostly, and it stays.

    A look at all of it takes 40 ms, in which no thread runs. Its looks at what is new come less often too: a request
    leaves no cycles, but many of them at once are more objects than the usual thresholds allow for.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.enable()


def _allow_many_connections() -> None:
    """Have as many descriptors as the host allows: each watcher is one. Runs have limits of their own."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _leave_no_core() -> None:
    """Have no crash write memory to a disk, where the CA's key and Secrets are in it. Runs have limits of their own."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def _copy(paths: "Paths", wanted: argparse.Namespace) -> int:
    from state import backup
    from state.connection import StoreFileError

    try:
        if wanted.backup:
            said = f"revision {backup.save(paths.database, wanted.backup)} is saved in {wanted.backup}"
        else:
            revision = backup.restore(wanted.restore, paths.database)
            said = f"the store is restored from {wanted.restore}, at revision {revision}"
    except StoreFileError as error:
        return _fail(str(error))
    sys.stdout.write(f"{said}\n")
    return 0


def _rotate(paths: "Paths") -> int:
    from api.errors import ApiError
    from controller.daemon import lock
    from state import encryption
    from state.connection import StoreFileError

    if not paths.database.exists():
        return _fail(f"cannot rotate the key of secrets: there is no store {paths.database}: name its --root")
    try:
        with lock.take(paths.daemon_lock):
            rows = encryption.rotate(paths.database)
    except (lock.AlreadyRunning, StoreFileError, OSError) as error:
        return _fail(str(error))
    except ApiError as error:
        return _fail(error.message)
    sys.stdout.write(f"{rows} stored texts of secrets are under a new key in {encryption.file_of(paths.database)}\n")
    return 0


def _clean(settings: "Settings", paths: "Paths") -> int:
    from controller.daemon import cleaning

    try:
        swept = cleaning.clean(settings, paths)
    except (cleaning.StillRunning, OSError) as error:
        return _fail(str(error))
    for item in swept:
        sys.stdout.write(f"removed {item}\n")
    return 0


def _fail(message: str) -> int:
    for line in message.splitlines():
        sys.stderr.write(f"runwrightd: {line}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
