"""The runtimes of examples/runtimes: each is built by a real daemon, and computes in the real sandbox of jobs.

What needs a network to build is slow: it runs in `make test-slow`.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from api.meta import Document
from support.daemon import RNX, Daemon, a_daemon
from support.documents import build

# httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

JOB_SECONDS = 300

NUMBERS = """
import numpy, pandas, sklearn
from sklearn.linear_model import LinearRegression
frame = pandas.DataFrame({"x": numpy.arange(1, 5), "y": numpy.arange(1, 5) * 2.0})
print(round(float(LinearRegression().fit(frame[["x"]].values, frame["y"].values).predict([[10]])[0]), 6))
print(float(frame["y"].mean()), numpy.linalg.det(numpy.eye(3)))
"""
JAVA = """
import java.util.stream.IntStream;
public class Hello {
    public static void main(String[] arguments) {
        System.out.println(IntStream.rangeClosed(1, 100).sum() + " " + System.getProperty("java.specification.version"));
    }
}
"""
POM = """
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>hello</artifactId><version>1</version>
  <properties>
    <maven.compiler.source>17</maven.compiler.source><maven.compiler.target>17</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
</project>
"""
GO = 'package main\nimport ("fmt"; "strings")\nfunc main() { fmt.Println(strings.Repeat("go", 3), 6*7) }\n'


@pytest.fixture
def daemon(host_is_clean) -> Iterator[Daemon]:
    with a_daemon("runtime.default_registry=") as daemon:
        yield daemon


def said(daemon: Daemon, runtime: str, *command: str, uploads: tuple[Path, ...] = ()) -> list[str]:
    """Run a job in `runtime` to its end; return the lines that it printed."""
    given = [f"--upload={path}" for path in uploads]
    argv = [str(RNX), "--root", str(daemon.root), "job", "run", f"--runtime={runtime}", *given, *command]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=JOB_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def lock_of(daemon: Daemon, runtime: str) -> Document:
    lock: Document = yaml.safe_load(
        (daemon.root / "opt/joblet/runtimes" / f"{runtime}-1.0.0/versions.lock").read_text()
    )
    return lock


def names(packages: list[Document]) -> set[str]:
    return {str(package["name"]) for package in packages}


def test_the_python_of_this_host(daemon):
    runtime = build(daemon, "python")

    assert said(daemon, runtime, "python", "-c", "import ssl, sqlite3; print(6 * 7, ssl.OPENSSL_VERSION[:7])") == [
        "42 OpenSSL"
    ]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_python_with_numpy_pandas_and_scikit_learn(daemon):
    runtime = build(daemon, "python-ml")

    assert said(daemon, runtime, "python", "-c", NUMBERS) == ["20.0", "5.0 1.0"]
    assert said(daemon, "python:3.11+ml", "python", "-c", "import sys; print(sys.version_info[:2])") == ["(3, 11)"]
    lock = lock_of(daemon, runtime)
    assert {"numpy", "pandas", "scikit-learn", "scipy"} <= names(lock["python_packages"])
    assert "pip" not in names(lock["python_packages"])
    assert all(package["hash"].startswith("sha256:") for package in lock["python_packages"])
    assert {"libc6", "libstdc++6", "python3.11"} <= names(lock["debian_packages"])
    assert not {"apt", "dpkg", "perl-base", "gcc"} & names(lock["debian_packages"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_openjdk_compiles_and_maven_packages_without_a_network(daemon, tmp_path):
    runtime = build(daemon, "openjdk")
    (tmp_path / "Hello.java").write_text(JAVA)
    (tmp_path / "pom.xml").write_text(POM)
    script = (
        "javac -d plain Hello.java && java -cp plain Hello && mkdir -p src/main/java && mv Hello.java src/main/java/ && "
        "mvn -o -q -B clean package && java -cp target/hello-1.jar Hello"
    )

    lines = said(daemon, "java:17", "bash", "-c", script, uploads=(tmp_path / "Hello.java", tmp_path / "pom.xml"))

    # Maven ends with the colours of the terminal set back.
    assert len([line for line in lines if line.endswith("5050 17")]) == 2, lines
    assert "openjdk-17-jdk-headless" in names(lock_of(daemon, runtime)["debian_packages"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_node_has_its_packages_and_their_commands(daemon):
    runtime = build(daemon, "node")

    script = "console.log(require('semver').maxSatisfying(['1.2.3', '1.10.0', '2.0.0'], '^1.2'))"
    assert said(daemon, runtime, "node", "-e", script) == ["1.10.0"]
    assert said(daemon, runtime, "semver", "-r", "^1", "1.5.0") == ["1.5.0"]
    lock = lock_of(daemon, runtime)
    assert [p["version"] for p in lock["node_packages"] if p["name"] == "semver" and "hash" in p] == ["7.5.4"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_go_compiles_and_runs(daemon, tmp_path):
    runtime = build(daemon, "go")
    (tmp_path / "main.go").write_text(GO)

    script = "go build -o main main.go && ./main"
    assert said(daemon, runtime, "sh", "-c", script, uploads=(tmp_path / "main.go",)) == ["gogogo 42"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tiny_one_is_a_shell_and_nothing_else(daemon):
    runtime = build(daemon, "tiny")

    assert said(daemon, runtime, "sh", "-c", "seq 3 | awk '{ sum += $1 } END { print sum }'") == ["6"]
    tree = daemon.root / "opt/joblet/runtimes" / f"{runtime}-1.0.0"
    assert names(lock_of(daemon, runtime)["debian_packages"]) == {"busybox-static"}
    assert sum(path.stat().st_size for path in tree.rglob("*") if not path.is_symlink()) < 4 << 20
