"""kubectl itself, pointed at an API."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SECONDS = 30
BINARY = Path(sys.executable).with_name("kubectl")


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Kubectl:
    """kubectl with a home of its own, so that nothing that it keeps is shared."""

    server: str
    home: Path
    namespace: str
    binary: Path = BINARY
    kubeconfig: Path | None = None

    def command(self, *words: str) -> list[str]:
        """Return a command line, with where to and in which namespace."""
        where = ["--kubeconfig", str(self.kubeconfig)] if self.kubeconfig else ["--server", self.server]
        return [str(self.binary), *where, "--namespace", self.namespace, *words]

    @property
    def env(self) -> dict[str, str]:
        """The environment that it is run in."""
        return {"HOME": str(self.home), "PATH": os.defpath, "KUBECTL_APPLYSET": "true"}

    def __call__(self, *words: str, stdin: object = None, code: int | None = 0) -> Said:
        """Run a command; `stdin` is text, or an object that is written as YAML; `code` None is any."""
        text = stdin if isinstance(stdin, str) or stdin is None else yaml.safe_dump(stdin)
        done = subprocess.run(
            self.command(*words),
            input=text,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        assert code is None or said.code == code, f"kubectl {' '.join(words)}: {said}"
        return said

    def json(self, *words: str) -> Any:
        """Run a command with `-o json`; return what it says."""
        return json.loads(self(*words, "-o", "json").out)
