"""The documents' commands for Java: compiled in the job, virtual threads of 21, Maven without a network.

They stand here as they stand in the documents, with sources of ours. Most name a cache volume: there are no volumes
yet, so those flags, and nothing else, are taken out of a command before it is run, and the test says so by `without`.
Left out, until there is what they need: what writes to /volumes (tests of a library, the frontend, reports), and what
uses `--network` (Spring Boot, consumers, servers, tests of the frontend). Spring itself would come from a network.
"""

from collections.abc import Iterator

import pytest

from support.daemon import Daemon
from support.documents import a_daemon_with, printed, without

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

APPLICATION = """
import java.util.stream.IntStream;
public class Application {
    record Sum(int to, int is) {}
    public static void main(String[] arguments) {
        System.out.println(new Sum(100, IntStream.rangeClosed(1, 100).sum()));
        System.out.println(System.getProperty("java.specification.version"));
    }
}
"""
VIRTUAL_THREADS = """
import java.util.concurrent.Executors;
import java.util.stream.IntStream;
public class VirtualThreadApp {
    public static void main(String[] arguments) throws Exception {
        try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            var tasks = IntStream.range(0, 10_000).mapToObj(number -> threads.submit(() -> {
                Thread.sleep(100);
                return Thread.currentThread().isVirtual() ? number : -1;
            })).toList();
            long sum = 0;
            for (var task : tasks) sum += task.get();
            System.out.println(tasks.size() + " virtual threads: " + sum);
        }
    }
}
"""
POM = """
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>application</artifactId><version>1</version>
  <properties>
    <maven.compiler.source>17</maven.compiler.source><maven.compiler.target>17</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
</project>
"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with a_daemon_with("openjdk", "openjdk-21") as daemon:
        yield daemon


def test_an_application_is_compiled_and_run(daemon, tmp_path):
    (tmp_path / "Application.java").write_text(APPLICATION)
    command = """
# Compile and run Java application
rnx job run --runtime=java:17 \\
        --upload=Application.java \\
        --volume=maven-cache \\
        bash -c "javac Application.java && java Application"
"""

    said = printed(daemon, tmp_path, without(("--volume=maven-cache",), command))

    assert said == "Sum[to=100, is=5050]\n17\n"


def test_virtual_threads(daemon, tmp_path):
    (tmp_path / "VirtualThreadApp.java").write_text(VIRTUAL_THREADS)
    command = """
# High-concurrency application using Virtual Threads
rnx job run --runtime=java:21 \\
        --upload=VirtualThreadApp.java \\
        --max-memory=1024 \\
        bash -c "javac VirtualThreadApp.java && java VirtualThreadApp"
"""

    assert printed(daemon, tmp_path, command) == "10000 virtual threads: 49995000\n"


def test_java_21_by_its_name_trusts_the_certificates_of_the_archive(daemon, tmp_path):
    command = "rnx job run --runtime=openjdk-21 keytool -list -cacerts -storepass changeit"

    said = printed(daemon, tmp_path, command)

    assert sum("trustedCertEntry" in line for line in said.splitlines()) > 100


def test_a_maven_project_is_built_without_a_network(daemon, tmp_path):
    sources = tmp_path / "spring-project/src/main/java"
    sources.mkdir(parents=True)
    (sources / "Application.java").write_text(APPLICATION)
    (tmp_path / "spring-project/pom.xml").write_text(POM)
    command = """
# Build entire Maven project
rnx job run --runtime=java:17 \\
        --upload-dir=spring-project \\
        --volume=maven-cache \\
        --max-memory=2048 \\
        mvn clean package
"""

    said = printed(daemon, tmp_path, without(("--volume=maven-cache",), command))

    assert "Building jar: /work/target/application-1.jar" in said
    assert "BUILD SUCCESS" in said
