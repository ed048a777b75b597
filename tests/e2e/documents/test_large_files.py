"""The documents' jobs that read files larger than what they may have in memory, and processors that they may use."""

import csv

import pytest

from support.documents import printed, typed

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ROWS = 60_000
WIDE = 400


@pytest.fixture(scope="module")
def big_data(tmp_path_factory):
    """A file of some 25 MB."""
    directory = tmp_path_factory.mktemp("big")
    for name in ("large_dataset.csv", "big_data.csv"):
        with (directory / name).open("w") as file:
            file.write("category,amount,text\n")
            file.writelines(f"{'xyz'[n % 3]},{n},{'t' * WIDE}\n" for n in range(ROWS))
    return directory


def test_a_large_file_is_processed_in_chunks(daemon, big_data):
    command = """
# Process large CSV files in chunks
rnx job run --runtime=python-3.11-ml \\
        --upload=large_dataset.csv \\
        --volume=processed-chunks \\
        --max-memory=4096 \\
        --max-cpu=4 \\
        python -c "
import pandas as pd
import numpy as np

chunk_size = 10000
chunk_num = 0

for chunk in pd.read_csv('large_dataset.csv', chunksize=chunk_size):
    processed = chunk.apply(lambda x: x.str.upper() if x.dtype == 'object' else x)
    processed.to_csv(f'/volumes/processed-chunks/chunk_{chunk_num}.csv', index=False)
    chunk_num += 1
    print(f'Processed chunk {chunk_num}')
"
"""

    assert printed(daemon, big_data, command) == "".join(f"Processed chunk {n}\n" for n in range(1, 7))
    look = "rnx job run --volume=processed-chunks:ro sh -c 'cat /volumes/processed-chunks/chunk_*.csv | wc -l'"
    assert printed(daemon, big_data, look) == f"{ROWS + 6}\n"


MEMORY = """
# Large dataset processing with memory constraints
rnx job run --runtime=python-3.11-ml \\
        --upload=big_data.csv \\
        --max-memory=1024 \\
        --volume=temp-storage \\
        python -c "
import pandas as pd
import gc

# Process in chunks to manage memory
def process_large_file(filename):
    chunk_iter = pd.read_csv(filename, chunksize=1000)
    results = []

    for chunk in chunk_iter:
        result = chunk.groupby('category').sum()
        results.append(result)

        # Force garbage collection
        gc.collect()

    final_result = pd.concat(results).groupby(level=0).sum()
    final_result.to_csv('/volumes/temp-storage/summary.csv')

process_large_file('big_data.csv')
"
"""


def test_processing_within_a_limit_of_memory_writes_its_summary(daemon, big_data):
    printed(daemon, big_data, MEMORY)

    look = "rnx job run --volume=temp-storage:ro cut -c 1-20 /volumes/temp-storage/summary.csv"
    rows = list(csv.reader(printed(daemon, big_data, look).splitlines()))
    sums = {category: sum(n for n in range(ROWS) if "xyz"[n % 3] == category) for category in "xyz"}
    assert [row[:2] for row in rows] == [["category", "amount"], *([name, str(sums[name])] for name in "xyz")]


def test_what_needs_more_than_its_limit_is_killed_and_says_so(daemon, big_data):
    """What the document's chunks are there to avoid."""
    command = MEMORY[: MEMORY.index('python -c "')] + "python -c 'import numpy; print(numpy.ones(300_000_000).sum())'"

    done = typed(daemon, big_data, command)

    assert done.returncode == 137
    assert "OOMKilled" in done.stderr
    [job] = [each for each in daemon.jobs().values() if each["status"].get("reason") == "OOMKilled"]
    assert "--max-memory" in done.stderr or "memory" in job["status"]["message"]
