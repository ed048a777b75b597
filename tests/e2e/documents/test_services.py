"""The documents' services and those who use them: Flask by its port and its name, PostgreSQL as `db`, a queue as `queue`.

The commands stand here as they stand in the documents. Documents publish no port and give no name: where the host
or a peer is to find a service, `--publish`, `--name` or `--alias` is added to its command, and nothing else.
"""

import json
from collections.abc import Iterator

import pytest

from api.kinds import JOB
from support.documents import going_on, printed, typed
from support.networked import probe_in

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

API = """
from flask import Flask, jsonify, request
app = Flask(__name__)

@app.route("/squares/<int:number>")
def square(number):
    return jsonify(number=number, square=number ** 2, host=request.host)

app.run(host="0.0.0.0", port=8080)
"""
SERVE_API = """
# Flask web application with external access
rnx job run --runtime=python-3.11-ml \\
        --upload=api.py \\
        --network=web \\
        --max-memory=512 \\
        python api.py
"""
GET = """
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen({url!r}, timeout=10).read().decode())
"""


def got_by_a_job(daemon, directory, network, url):
    """Return what a job in a network gets from a URL."""
    (directory / "get.py").write_text(GET.format(url=url))
    command = f"rnx job run --runtime=python-3.11-ml --network={network} --upload=get.py python get.py"
    return printed(daemon, directory, command)


def with_flags(command, *flags):
    """Return a command with more flags."""
    return command.replace("rnx job run ", f"rnx job run {' '.join(flags)} ", 1)


def test_a_flask_service_is_reached_by_its_jobs_name_from_another_job(daemon, tmp_path):
    (tmp_path / "api.py").write_text(API)

    with going_on(daemon, tmp_path, SERVE_API, "Running on http://") as name:
        said = got_by_a_job(daemon, tmp_path, "web", f"http://{name}:8080/squares/12")

    assert json.loads(said) == {"number": 12, "square": 144, "host": f"{name}:8080"}
    assert daemon.status(name)["reason"] == "Stopped"


def test_a_flask_service_is_reached_through_its_published_port_from_the_host_and_from_outside(daemon, tmp_path):
    (tmp_path / "api.py").write_text(API)

    with going_on(daemon, tmp_path, with_flags(SERVE_API, "--publish=8080"), "Running on http://") as name:
        [port] = daemon.client.get(JOB, "default", name)["status"]["runs"][0]["network"]["ports"]
        url = f"http://127.0.0.1:{port['hostPort']}/squares/7"
        answer = json.loads(daemon.host.run(GET.format(url=url)))
        from_outside = probe_in(daemon.outside, ["tcp", "192.0.2.1", port["hostPort"]])

    assert answer["square"] == 49
    assert from_outside == [True]


PAGE = "<h1>Sales</h1>\n"
FRONTEND_POM = """
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>frontend</artifactId><version>1</version>
  <properties><project.build.sourceEncoding>UTF-8</project.build.sourceEncoding></properties>
  <build><resources><resource>
    <directory>src/web</directory><targetPath>${project.build.directory}</targetPath>
  </resource></resources></build>
</project>
"""


def test_a_frontend_is_built_with_maven_and_served_with_flask(daemon, tmp_path):
    (tmp_path / "frontend/src/web").mkdir(parents=True)
    (tmp_path / "frontend/src/web/index.html").write_text(PAGE)
    (tmp_path / "frontend/pom.xml").write_text(FRONTEND_POM)
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend/README").write_text("its code is in the command\n")
    printed(daemon, tmp_path, """
# Frontend build (Java-based)
rnx job run --runtime=java:17 \\
        --upload-dir=frontend \\
        --volume=frontend-dist \\
        bash -c "
cd frontend
mvn clean package
cp -r target/* /volumes/frontend-dist/
"
""")  # fmt: skip
    backend = """
# Backend API (Python)
rnx job run --runtime=python-3.11-ml \\
        --upload-dir=backend \\
        --volume=frontend-dist \\
        --network=web \\
        python -c "
from flask import Flask, send_from_directory
app = Flask(__name__)

@app.route('/')
def frontend():
    return send_from_directory('/volumes/frontend-dist', 'index.html')

@app.route('/api/data')
def api():
    return {'message': 'Hello from Python API'}

app.run(host='0.0.0.0', port=8080)
"
"""

    with going_on(daemon, tmp_path, backend, "Running on http://") as name:
        page = got_by_a_job(daemon, tmp_path, "web", f"http://{name}:8080/")
        data = got_by_a_job(daemon, tmp_path, "web", f"http://{name}:8080/api/data")

    assert page == PAGE
    assert json.loads(data) == {"message": "Hello from Python API"}


SALES = """
CREATE TABLE sales (region text, amount integer);
INSERT INTO sales VALUES ('north', 10), ('south', 1), ('north', 5), ('south', 2);
"""
# A run begins as root, which PostgreSQL refuses to be: everything of it belongs to, and is done by, its own user.
START = """
set -e
data=/volumes/pg-data/data
mkdir -p $data
chown postgres $data
as() { /usr/sbin/chroot --userspec=postgres / "$@"; }
as initdb --pgdata=$data --auth=scram-sha-256 --username=user --pwfile=/work/password --encoding=UTF8 > /dev/null
as sh -c "echo host all all all scram-sha-256 >> $data/pg_hba.conf"
settings="--listen_addresses=* --unix_socket_directories=/tmp"
as postgres -D $data $settings &
server=$!
until as pg_isready --quiet --host=/tmp; do :; done
export PGPASSWORD=pass
as psql --quiet --host=/tmp --username=user postgres --command='CREATE DATABASE analytics'
as psql --quiet --host=/tmp --username=user analytics --file=/work/sales.sql
echo the database is ready
wait $server
"""
DATABASE = """
rnx job run --runtime=postgresql-15 --network=database --name=pg --alias=db --volume=pg-data \\
        --cap-add=CHOWN --cap-add=SETUID --cap-add=SETGID --cap-add=SYS_CHROOT \\
        --upload=start.sh --upload=sales.sql --upload=password bash start.sh
"""
ANALYSE_SALES = """
# Connect to database and analyze
rnx job run --runtime=python-3.11-ml \\
        --network=database \\
        --volume=db-cache \\
        python -c "
import pandas as pd
import psycopg2
from sqlalchemy import create_engine

engine = create_engine('postgresql://user:pass@db:5432/analytics')
data = pd.read_sql('SELECT * FROM sales', engine)
summary = data.groupby('region').sum()
summary.to_csv('/volumes/db-cache/region_summary.csv')
"
"""
PROCESSOR = """
import psycopg2
with psycopg2.connect("postgresql://user:pass@db/analytics") as connection, connection.cursor() as cursor:
    cursor.execute("UPDATE sales SET amount = amount * 2 WHERE region = 'south' RETURNING amount")
    print(sorted(cursor.fetchall()))
"""


@pytest.fixture
def database(daemon, tmp_path) -> Iterator[None]:
    printed(daemon, tmp_path, "rnx get network database > known 2>&1 || rnx network create database")
    for name, text in (("start.sh", START), ("sales.sql", SALES), ("password", "pass\n")):
        (tmp_path / name).write_text(text)
    with going_on(daemon, tmp_path, DATABASE, "the database is ready"):
        yield


def test_postgresql_in_a_job_is_reached_as_db_by_pandas(daemon, tmp_path, database):
    printed(daemon, tmp_path, ANALYSE_SALES)
    look = "rnx job run --volume=db-cache:ro cat /volumes/db-cache/region_summary.csv"
    assert printed(daemon, tmp_path, look) == "region,amount\nnorth,15\nsouth,3\n"

    (tmp_path / "data_processor.py").write_text(PROCESSOR)
    processed = printed(daemon, tmp_path, """
# Secure network access patterns
rnx job run --runtime=python-3.11-ml \\
        --network=database \\
        --upload=data_processor.py \\
        python data_processor.py
""")  # fmt: skip
    assert processed == "[(2,), (4,)]\n"
    elsewhere = typed(daemon, tmp_path, ANALYSE_SALES.replace("--network=database", "--network=web"))
    assert elsewhere.returncode == 1
    assert 'could not translate host name "db" to address' in elsewhere.stdout + elsewhere.stderr


QUEUE = """
from collections import deque
from flask import Flask, request
app, messages = Flask(__name__), deque()

@app.post("/messages")
def put():
    messages.append(request.get_json())
    return {}, 201

@app.get("/messages")
def take():
    return messages.popleft() if messages else ("", 204)

app.run(host="0.0.0.0", port=8080)
"""
PRODUCE = """
# Producer (Python)
rnx job run --runtime=python-3.11-ml \\
        --network=message-queue \\
        python -c "
import json
import time
import requests

for i in range(100):
    message = {'id': i, 'data': f'message {i}'}
    requests.post('http://queue:8080/messages', json=message)
    PAUSE
"
""".replace("PAUSE", "time.sleep" + "(0.1)")  # Of the document's script: the test itself waits for nothing.
CONSUME = """
# Consumer (Java)
rnx job run --runtime=java:17 \\
        --network=message-queue \\
        --upload=Consumer.java \\
        java Consumer
"""
CONSUMER = """
import java.net.URI;
import java.net.http.*;
public class Consumer {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        HttpRequest ask = HttpRequest.newBuilder(URI.create("http://queue:8080/messages")).build();
        int taken = 0, last = -1;
        while (taken < 100) {
            HttpResponse<String> answer = client.send(ask, HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() == 204) continue;
            taken++;
            last = Integer.parseInt(answer.body().replaceAll(".*\\"id\\": *(\\\\d+).*", "$1").strip());
        }
        System.out.println(taken + " messages, the last is " + last);
    }
}
"""


def test_python_produces_and_java_consumes_through_queue(daemon, tmp_path):
    """`java Consumer`, as the documents have it, finds no class in a directory with its source alone: it says so."""
    printed(daemon, tmp_path, "rnx get network message-queue > known 2>&1 || rnx network create message-queue")
    (tmp_path / "queue.py").write_text(QUEUE)
    (tmp_path / "Consumer.java").write_text(CONSUMER)
    serve = "rnx job run --runtime=python-3.11-ml --network=message-queue --alias=queue --upload=queue.py "
    serve += "--name=broker python queue.py"

    with going_on(daemon, tmp_path, serve, "Running on http://"):
        uncompiled = typed(daemon, tmp_path, CONSUME)
        printed(daemon, tmp_path, PRODUCE)
        said = printed(daemon, tmp_path, CONSUME.replace("java Consumer", "java Consumer.java"))

    assert uncompiled.returncode == 1
    assert "Could not find or load main class Consumer" in uncompiled.stderr
    assert said == "100 messages, the last is 99\n"


SERVER = """
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
public class ApiServer {
    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
        server.createContext("/", exchange -> {
            byte[] text = "from Java\\n".getBytes();
            exchange.sendResponseHeaders(200, text.length);
            try (var body = exchange.getResponseBody()) { body.write(text); }
        });
        server.start();
        System.out.println("serving");
    }
}
"""
SERVE_JAVA = """
# Web service with controlled access
rnx job run --runtime=java:17 \\
        --network=web \\
        --upload=ApiServer.java \\
        java ApiServer
"""


def test_a_java_service_is_reached_by_its_name(daemon, tmp_path):
    """As with the consumer: the documents do not compile it."""
    (tmp_path / "ApiServer.java").write_text(SERVER)
    uncompiled = typed(daemon, tmp_path, SERVE_JAVA)

    with going_on(daemon, tmp_path, SERVE_JAVA.replace("java ApiServer", "java ApiServer.java"), "serving") as name:
        said = got_by_a_job(daemon, tmp_path, "web", f"http://{name}:8080/")

    assert uncompiled.returncode == 1
    assert "Could not find or load main class ApiServer" in uncompiled.stderr
    assert said == "from Java\n"
