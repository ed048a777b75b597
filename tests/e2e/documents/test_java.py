"""The documents' commands for Java: compiled in the job, virtual threads of 21, Maven without a way out.

They stand here as they stand in the documents, with sources of ours. Maven has the plugins that Debian has: what
needs others, or Maven in Java 21, is for hosts that have them; Spring's place is taken by the JDK's own web server.
"""

import pytest

from support.documents import going_on, printed
from support.networked import HOST_ADDRESS, probe_in

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


def test_an_application_is_compiled_and_run(daemon, tmp_path):
    (tmp_path / "Application.java").write_text(APPLICATION)
    command = """
# Compile and run Java application
rnx job run --runtime=java:17 \\
        --upload=Application.java \\
        --volume=maven-cache \\
        bash -c "javac Application.java && java Application"
"""

    said = printed(daemon, tmp_path, command)

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

    said = printed(daemon, tmp_path, command)

    assert "Building jar: /work/target/application-1.jar" in said
    assert "BUILD SUCCESS" in said


WEB = """
import com.sun.net.httpserver.HttpServer;
import java.io.FileInputStream;
import java.net.InetSocketAddress;
import java.nio.file.*;
import java.util.Properties;
public class Application {
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        try (var file = new FileInputStream("application.properties")) { properties.load(file); }
        int port = Integer.parseInt(properties.getProperty("server.port"));
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.createContext("/", exchange -> {
            Files.writeString(Path.of("/volumes/app-data/visits"), "one\\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
            exchange.sendResponseHeaders(204, -1);
        });
        server.start();
        System.out.println("Started on port " + port);
    }
}
"""


def test_a_web_application_has_its_properties_its_network_and_its_volume(daemon, tmp_path):
    (tmp_path / "Application.java").write_text(WEB)
    (tmp_path / "application.properties").write_text("server.port=8081\n")
    make = "javac Application.java && jar cfe application.jar Application *.class"
    printed(
        daemon, tmp_path,
        "rnx job run --runtime=java:17 --upload=Application.java --artifact=application.jar --name=make-app "
        f"bash -c '{make}' && rnx job download make-app",
    )  # fmt: skip
    command = """
# Run Spring Boot application with external access
rnx job run --runtime=java:17 \\
        --upload=application.jar \\
        --upload=application.properties \\
        --network=web \\
        --volume=app-data \\
        java -jar application.jar
""".replace("rnx job run ", "rnx job run --publish=8090:8081 ")

    with going_on(daemon, tmp_path, command, "Started on port 8081"):
        assert probe_in(daemon.outside, ["tcp", HOST_ADDRESS, 8090]) == [True]
        asked = f"import urllib.request; print(urllib.request.urlopen('http://{HOST_ADDRESS}:8090/').status)"
        assert daemon.outside.run(asked) == "204"

    assert printed(daemon, tmp_path, "rnx job run --volume=app-data:ro cat /volumes/app-data/visits") == "one\n"


LIBRARY = "public class Library { public static int twice(int number) { return number * 2; } }\n"
LIBRARY_TEST = """
import static org.junit.Assert.assertEquals;
import org.junit.Test;
public class LibraryTest {
    @Test public void twiceIsDouble() { assertEquals(14, Library.twice(7)); }
}
"""
JUNIT = """
  <dependencies><dependency>
    <groupId>junit</groupId><artifactId>junit</artifactId><version>4.x</version><scope>test</scope>
  </dependency></dependencies>
</project>"""


def a_library(directory):
    """Write a Maven project with a test."""
    for path, text in (
        ("src/main/java/Library.java", LIBRARY), ("src/test/java/LibraryTest.java", LIBRARY_TEST),
        ("pom.xml", POM.replace("\n</project>", JUNIT)),
    ):  # fmt: skip
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)


def test_a_library_is_tested_and_its_reports_are_kept(daemon, tmp_path):
    """The documents copy several files to `java17-`, which for cp must be a directory: it is made before."""
    a_library(tmp_path / "java-library")
    printed(daemon, tmp_path, "rnx job run --volume=test-results mkdir /volumes/test-results/java17-")
    command = """
# Test on Java 17
rnx job run --runtime=java:17 \\
        --upload-dir=java-library \\
        --volume=test-results \\
        bash -c "
cd java-library
mvn test
cp target/surefire-reports/* /volumes/test-results/java17-
"
"""

    said = printed(daemon, tmp_path, command)

    assert "Tests run: 1, Failures: 0, Errors: 0, Skipped: 0" in said
    kept = printed(daemon, tmp_path, "rnx job run --volume=test-results:ro ls /volumes/test-results/java17-")
    assert kept.split() == ["LibraryTest.txt", "TEST-LibraryTest.xml"]


def test_tests_of_a_frontend_run_in_their_network(daemon, tmp_path):
    a_library(tmp_path / "frontend-tests")
    printed(daemon, tmp_path, "rnx get network test-net > known 2>&1 || rnx network create test-net")
    command = """
# Frontend testing (Java-based)
rnx job run --runtime=java:17 \\
        --network=test-net \\
        --upload-dir=frontend-tests \\
        bash -c "cd frontend-tests && mvn test"
"""

    assert "BUILD SUCCESS" in printed(daemon, tmp_path, command)


@pytest.mark.elsewhere("a Java 21 with Maven, which the example of Debian 13's is without")
@pytest.mark.skip(reason="the Java 21 of the examples has no Maven")
def test_a_library_is_tested_with_java_21_too(daemon, tmp_path):
    a_library(tmp_path / "java-library")
    command = """
# Test on Java 21
rnx job run --runtime=java:21 \\
        --upload-dir=java-library \\
        --volume=test-results \\
        bash -c "
cd java-library
mvn test
cp target/surefire-reports/* /volumes/test-results/java21-
"
"""

    assert "BUILD SUCCESS" in printed(daemon, tmp_path, command)


@pytest.mark.elsewhere("Maven with the plugins install and exec, and with a repository that it can write to")
@pytest.mark.skip(reason="Debian's Maven has a repository of its own, which a runtime shows read-only")
def test_a_java_application_is_installed_and_executed_by_maven(daemon, tmp_path):
    a_library(tmp_path / "java-app")
    command = """
# Persistent data and cache management
rnx job run --runtime=java:17 \\
        --volume=maven-cache \\
        --volume=project-data \\
        --upload-dir=java-app \\
        bash -c "
cd java-app
mvn install  # Uses cached dependencies
mvn exec:java
"
"""

    assert "BUILD SUCCESS" in printed(daemon, tmp_path, command)
