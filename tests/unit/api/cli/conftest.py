"""`rnx` against the real API on a unix socket."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from support.api_server import LiveApi, a_live_api

from api.cli.main import run


@dataclass(frozen=True)
class Said:
    """What a command ended with and printed."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Rnx = Callable[..., Said]


@pytest.fixture
def live(tmp_path) -> Iterator[LiveApi]:
    with a_live_api(tmp_path) as server:
        yield server


@pytest.fixture
def rnx(live, capfdbinary, monkeypatch) -> Rnx:
    """Run `rnx` in this process, pointed at `live` as a person would: by $RUNWRIGHT_ROOT."""
    monkeypatch.setenv("RUNWRIGHT_ROOT", str(live.directory))
    monkeypatch.delenv("RUNWRIGHT_SERVER", raising=False)

    def call(*arguments: str) -> Said:
        capfdbinary.readouterr()
        code = run(list(arguments))
        out, err = capfdbinary.readouterr()
        return Said(code, out.decode(), err.decode())

    return call
