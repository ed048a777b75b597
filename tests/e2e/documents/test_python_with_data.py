"""The documents' commands that compute with numpy, pandas and scikit-learn, in a runtime of Debian's Python and of wheels.

The commands stand here as they stand in the documents, with files of ours where they upload some. In the modules
beside this one are pipelines, services, large files, Java, and versions.
"""

import json
import re

import pytest
import yaml

from support.documents import printed, typed

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DATA = "city,year,people\nA,2020,10\nA,2021,14\nB,2020,1\nB,2021,3\n"
# What the documents do with data.csv, but for the volume that the summary is written to.
ANALYSIS = f"""
import pandas as pd
import numpy as np
from io import StringIO
data = pd.read_csv(StringIO({DATA!r}))
print(f'Dataset shape: {{data.shape}}')
print(data.describe().to_csv())
print(data.groupby('city').people.sum().to_json(), np.corrcoef(data.year, data.people)[0, 1].round(6))
"""
SUMMARY = """\
Dataset shape: (4, 3)
,year,people
count,4.0,4.0
mean,2020.5,7.0
std,0.5773502691896257,6.0553007081949835
min,2020.0,1.0
25%,2020.0,2.5
50%,2020.5,6.5
75%,2021.0,11.0
max,2021.0,14.0

{"A":24,"B":4} 0.286039
"""
TRAINING = """
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
import joblib
data = load_iris()
model = RandomForestClassifier(n_estimators=20, random_state=0, n_jobs=2).fit(data.data, data.target)
joblib.dump(model, 'model.pkl')
print(joblib.load('model.pkl').predict(data.data[[0, 60, 149]]).tolist(), data.data.shape)
"""
COMPATIBILITY = "import sys, numpy\nprint(sys.version_info[:2] >= (3, 11), numpy.arange(4).sum())\n"


def test_numpy_tells_the_version_that_the_lock_has(daemon, tmp_path):
    command = 'rnx job run --runtime=python-3.11-ml python -c "import numpy; print(numpy.__version__)"'

    tree = daemon.root / "opt/joblet/runtimes/python-3.11-ml-1.0.0"
    packages = yaml.safe_load((tree / "versions.lock").read_text())["python_packages"]
    [version] = [package["version"] for package in packages if package["name"] == "numpy"]
    assert printed(daemon, tmp_path, command) == f"{version}\n"


def test_numpy_is_ok(daemon, tmp_path):
    command = "rnx job run --runtime=python-3.11-ml python -c \"import numpy; print('OK')\""

    assert printed(daemon, tmp_path, command) == "OK\n"


def test_a_legacy_script_is_moved_into_a_runtime(daemon, tmp_path):
    (tmp_path / "my_script.py").write_text(ANALYSIS)
    command = """
# After (runtime-isolated)
rnx job run --runtime=python-3.11-ml \\
        --upload=my_script.py \\
        python my_script.py
"""

    assert printed(daemon, tmp_path, command) == SUMMARY


def test_train_in_the_old_spelling(daemon, tmp_path):
    (tmp_path / "train.py").write_text(TRAINING)
    command = "rnx run --runtime=python:3.11+ml --upload=train.py python train.py"

    assert printed(daemon, tmp_path, command) == "[0, 1, 2] (150, 4)\n"


def test_training_with_its_resources(daemon, tmp_path):
    """In the documents comments follow the backslashes, which in a shell end the command: they are left out."""
    (tmp_path / "ml_training.py").write_text(TRAINING)
    command = """
# Appropriate resource allocation
rnx job run --runtime=python-3.11-ml \\
        --max-memory=2048 \\
        --max-cpu=4 \\
        --max-runtime=3600 \\
        --upload=ml_training.py \\
        python ml_training.py
"""

    assert printed(daemon, tmp_path, command) == "[0, 1, 2] (150, 4)\n"


def test_multi_core_processing(daemon, tmp_path):
    (tmp_path / "compute_task.py").write_text("")
    command = """
# Multi-core processing
rnx job run --runtime=python-3.11-ml \\
        --upload=compute_task.py \\
        --max-cpu=8 \\
        --max-memory=4096 \\
        python -c "
from multiprocessing import Pool
import numpy as np

def cpu_intensive_task(data_chunk):
    # Simulate heavy computation
    return np.fft.fft(data_chunk).sum()

if __name__ == '__main__':
    # Generate test data
    data = np.random.random(1000000)
    chunks = np.array_split(data, 8)

    with Pool(processes=8) as pool:
        results = pool.map(cpu_intensive_task, chunks)

    print(f'Final result: {sum(results)}')
"
"""

    result = re.fullmatch(r"Final result: (\(.*j\))\n", printed(daemon, tmp_path, command))
    # The sum of a transform is the first value times their number: of each eighth, so up to a million in all.
    assert result is not None
    assert 0 < complex(result[1]).real < 1_000_000
    assert abs(complex(result[1]).imag) < 0.001


def test_compatibility_across_versions(daemon, tmp_path):
    """The documents' loop goes on to python-3.12, which no release of Debian has."""
    (tmp_path / "compatibility_test.py").write_text(COMPATIBILITY)
    command = """
# Test script across multiple Python versions
for runtime in python-3.11-ml; do
    echo "Testing on $runtime"
    rnx job run --runtime=$runtime \\
            --upload=compatibility_test.py \\
            python compatibility_test.py
done
"""

    assert printed(daemon, tmp_path, command) == "Testing on python-3.11-ml\nTrue 6\n"


def test_an_uploaded_file_is_analysed_and_the_summary_is_in_its_volume(daemon, tmp_path):
    (tmp_path / "data.csv").write_text(DATA)
    command = """
# Upload data file and run analysis
rnx job run --runtime=python-3.11-ml \\
        --upload=data.csv \\
        --volume=analysis-results \\
        python -c "
import pandas as pd
import numpy as np
data = pd.read_csv('data.csv')
print(f'Dataset shape: {data.shape}')
print(data.describe())
data.to_json('/volumes/analysis-results/summary.json')
"
"""

    assert printed(daemon, tmp_path, command).startswith("Dataset shape: (4, 3)\n")
    look = "rnx job run --volume=analysis-results:ro cat /volumes/analysis-results/summary.json"
    assert json.loads(printed(daemon, tmp_path, look))["people"] == {"0": 10, "1": 14, "2": 1, "3": 3}


def test_volumes_keep_caches_and_data_sets_in_the_old_spelling(daemon, tmp_path):
    (tmp_path / "analysis.py").write_text(
        "from pathlib import Path\n"
        "place = Path('/volumes/datasets/seen')\n"
        "print(place.exists(), Path('/volumes/pip-cache').is_dir())\n"
        "place.write_text('yes')\n"
    )
    command = """
rnx run --runtime=python:3.11+ml \\
  --volume=pip-cache --volume=datasets \\
  --upload=analysis.py python analysis.py
"""

    assert printed(daemon, tmp_path, command) == "False True\n"
    assert printed(daemon, tmp_path, command) == "True True\n"


APP = """
import http.server, pandas
open("/volumes/app-data/started", "w").write(pandas.__version__)
print(open("requirements.txt").read().split())
"""


def test_an_application_comes_with_its_requirements_its_volume_and_a_network(daemon, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "requirements.txt").write_text("pandas\nnumpy\n")
    command = """
# New runtime-based deployment
rnx job run --runtime=python-3.11-ml \\
        --upload=app.py \\
        --upload=requirements.txt \\
        --volume=app-data \\
        --network=web \\
        python app.py
"""

    assert printed(daemon, tmp_path, command) == "['pandas', 'numpy']\n"


SETUP = """
import sqlite3
with sqlite3.connect("/volumes/test-db/test.db") as database:
    database.execute("CREATE TABLE items (name text)")
    database.execute("INSERT INTO items VALUES ('one')")
"""
TEST_API = """
import sqlite3
print(sqlite3.connect("/volumes/test-db/test.db").execute("SELECT * FROM items").fetchall())
"""


def test_a_stack_is_set_up_and_tested_in_a_network_of_its_own(daemon, tmp_path):
    """The documents do not upload setup_test_db.py: as it stands, the command says that the file is not there."""
    (tmp_path / "setup_test_db.py").write_text(SETUP)
    (tmp_path / "test_api.py").write_text(TEST_API)
    printed(daemon, tmp_path, "rnx get network test-net > known 2>&1 || rnx network create test-net")
    setup = """
# Database setup
rnx job run --runtime=python-3.11-ml \\
        --network=test-net \\
        --volume=test-db \\
        python setup_test_db.py
"""
    test = """
# API testing
rnx job run --runtime=python-3.11-ml \\
        --network=test-net \\
        --upload=test_api.py \\
        python test_api.py
"""

    not_uploaded = typed(daemon, tmp_path, setup)
    printed(daemon, tmp_path, setup.replace("--volume", "--upload=setup_test_db.py --volume"))
    said = printed(daemon, tmp_path, test.replace("--upload", "--volume=test-db --upload"))

    assert not_uploaded.returncode == 2
    assert "can't open file '/work/setup_test_db.py'" in not_uploaded.stderr
    assert said == "[('one',)]\n"
