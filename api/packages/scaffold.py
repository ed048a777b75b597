"""A first package for an author: small, whole, and good enough to be checked, built and run as it is.

Here: the files, as texts. A language gives a declared build (`build.yaml`); none gives a recipe, a manifest.yaml with
its setup scripts, which makes a runtime of a shell and a few tools. An example gives a copy of it, of another name;
`example_runtimes` is examples/runtimes, which travels with the package. Invariant: what is written passes `checks`.
"""

import re
from pathlib import Path
from textwrap import dedent

from api import runtime_spec
from api.packages.findings import Refused

BUILD_FILE = "build.yaml"
_LANGUAGES = {
    "python": ("3.11", "pip: []            # such as numpy==2.3.5", "imports: [json, ssl]"),
    "java": ("17", "apt: []            # such as maven", "command: [java, -version]"),
    "node": ("", "npm: []            # such as express@4.18.0", "command: [node, --version]"),
    "go": ("", "apt: []            # such as git", "command: [go, version]"),
}
LANGUAGES = tuple(_LANGUAGES)
_EXAMPLES = Path(__file__).with_name("example_runtimes")
_NAME = re.compile(r"^( *name: ).*$", re.MULTILINE)
_DESCRIPTION = re.compile(r"^ *description: (.+)$", re.MULTILINE)
_PLATFORMS = ("ubuntu-amd64", "ubuntu-arm64")


def write(name: str, language: str = "", parent: Path = Path()) -> tuple[Path, ...]:
    """Make the directory `name` below `parent` with the files of a first package; return them.

    Raises:
        Refused: a runtime may not be called so, or there is something of that name.
    """
    return _write(name, _declared(name, language) if language else _recipe(name), parent)


def write_example(name: str, example: str, parent: Path = Path()) -> tuple[Path, ...]:
    """Make the directory `name` below `parent` with the files of an example, which is called `name` there; return them.

    Raises:
        Refused: there is no such example, or as in `write`.
    """
    if example not in examples():
        raise Refused(f"cannot begin with the example {example}: there is none: use one of {', '.join(examples())}")
    texts = _texts_of(example)
    manifest = next(iter(texts))
    head = f"# Check it with: rnx runtime validate {name}; build it with: rnx runtime build {name}\n"
    return _write(name, texts | {manifest: head + _NAME.sub(rf"\g<1>{name}", texts[manifest], count=1)}, parent)


def examples() -> dict[str, str]:
    """Return the names of the examples, each with what it is."""
    names = sorted(path.stem if path.suffix == ".yaml" else path.name for path in _EXAMPLES.iterdir())
    return {name: _description(next(iter(_texts_of(name).values()))) for name in names}


def _texts_of(example: str) -> dict[str, str]:
    """Return the files of an example, the one that describes it first."""
    directory = _EXAMPLES / example
    if directory.is_dir():
        return {path.name: path.read_text("utf-8") for path in sorted(directory.iterdir())}
    return {BUILD_FILE: (_EXAMPLES / f"{example}.yaml").read_text("utf-8")}


def _description(manifest: str) -> str:
    found = _DESCRIPTION.search(manifest)
    return found[1] if found else ""


def _write(name: str, texts: dict[str, str], parent: Path) -> tuple[Path, ...]:
    try:
        runtime_spec.check_name(name)
    except runtime_spec.SpecError as error:
        raise Refused(f"cannot make the runtime {name}: {error}") from None
    directory = parent / name
    try:
        directory.mkdir()
        for file, text in texts.items():
            (directory / file).write_text(text)
            (directory / file).chmod(0o755 if file.endswith(".sh") else 0o644)
    except FileExistsError:
        raise Refused(f"cannot make {directory}: it is there already") from None
    except OSError as error:
        raise Refused(f"cannot make {directory}: {error.strerror}") from None
    return tuple(directory / file for file in texts)


def _declared(name: str, language: str) -> dict[str, str]:
    version, more, health = _LANGUAGES[language]
    base = f'{{language: {language}, version: "{version}"}}' if version else f"{{language: {language}}}"
    text = dedent(f"""\
        # Build it with: rnx runtime build {name}
        apiVersion: runwright.dev/v1alpha1
        kind: Runtime
        metadata:
          name: {name}
        spec:
          versions: ["1.0.0"]
          build:
            description: "{language} for jobs"
            base: {base}
            {more}
            environment: {{}}
          healthCheck:
            {health}
        """)
    return {BUILD_FILE: text}


def _recipe(name: str) -> dict[str, str]:
    platforms = "\n".join(f"  - {platform}" for platform in _PLATFORMS)
    manifest = f"""\
# Check it with: rnx runtime validate {name}; build it with: rnx runtime build {name}
name: {name}
version: 1.0.0
description: A shell and a few tools
platforms:
{platforms}
packages: []
"""
    scripts = {f"setup-{platform}.sh": _SETUP_FOR for platform in _PLATFORMS}
    return {"manifest.yaml": manifest, "setup.sh": _SETUP, **scripts}


_SETUP = """\
#!/bin/bash
# Builds the runtime below /opt/joblet/runtimes/NAME; runs in a throw-away copy of the host, as root there.
# Of all it does, only that directory stays.
set -euo pipefail

: "${RUNTIME_NAME:?is set by the build}"
target=/opt/joblet/runtimes/$RUNTIME_NAME
root=$target/isolated
tools="sh cat ls cp mv rm mkdir env sleep id"

mkdir -p "$root/bin"
take() { # a file of the host, at the same place in the tree
    mkdir -p "$root$(dirname "$1")"
    cp -L "$1" "$root$1"
}
for tool in $tools; do
    path=$(command -v "$tool")
    cp -L "$path" "$root/bin/$tool"
    for library in $(ldd "$path" | grep -o '/[^ )]*' || true); do
        take "$library"
    done
done

{
    echo "name: $RUNTIME_NAME"
    echo "version: \\"${RUNTIME_VERSION:-1.0.0}\\""
    echo "description: A shell and a few tools"
    echo "mounts:"
    for directory in "$root"/*; do
        base=$(basename "$directory")
        echo "  - {source: isolated/$base, target: /$base, readonly: true}"
    done
    echo "environment:"
    echo "  PATH: /bin"
} > "$target/runtime.yml"
"""

_SETUP_FOR = """\
#!/bin/bash
# What this platform alone needs goes here.
exec /bin/bash -e "$(dirname "$0")/setup.sh"
"""
