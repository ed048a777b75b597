"""Writes to the store at argv[1] from some threads until it is killed; says on stdout what was acknowledged.

Each line is one acknowledged write: `NAME RESOURCE_VERSION COUNT`. Ends by itself after argv[2] writes a thread.
"""

import os
import sys
import threading
from pathlib import Path

from state.store import Store
from support.hand_clock import HandClock
from support.stores import a_document

THREADS = 3


def write(store: Store, start: int, number: int, most: int) -> None:
    name = f"run{start}-{number}"
    latest = store.create(a_document(name, spec={"count": 0}))
    for count in range(1, most):
        acknowledge(latest)
        latest = store.update(latest | {"spec": {"count": count}})


def acknowledge(document: dict) -> None:
    metadata = document["metadata"]
    # One write of so short a line is atomic.
    os.write(1, f"{metadata['name']} {metadata['resourceVersion']} {document['spec']['count']}\n".encode())


def main(path: str, most: int) -> None:
    store = Store.open(Path(path), HandClock())
    start = store.revision()
    threads = [threading.Thread(target=write, args=(store, start, number, most)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
