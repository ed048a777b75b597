"""The documents' pipelines: Python, Python and Java, one through a volume, one through standard output."""

import csv
import json

import pytest

from support.documents import printed, typed

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

RAW = "size,weight,kind\n" + "".join(f"{n},{n * 2 + n % 2},{'ab'[n > 50]}\n" for n in range(1, 101)) + ",3,a\n7,,b\n"
PREPARE = """
# Prepare and clean data
rnx job run --runtime=python-3.11-ml \\
        --upload=raw_data.csv \\
        --volume=pipeline-data \\
        python -c "
import pandas as pd
data = pd.read_csv('raw_data.csv')
cleaned = data.dropna().reset_index(drop=True)
cleaned.to_csv('/volumes/pipeline-data/cleaned.csv', index=False)
print(f'Cleaned dataset: {len(cleaned)} rows')
"
"""
# The document leaves the middle to its reader: "... ML processing ...".
ANALYSE = """
# Run machine learning analysis
rnx job run --runtime=python-3.11-ml \\
        --volume=pipeline-data \\
        --max-memory=2048 \\
        python -c "
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
import joblib

data = pd.read_csv('/volumes/pipeline-data/cleaned.csv')
model = RandomForestClassifier(n_estimators=10, random_state=0).fit(data[['size', 'weight']], data['kind'])
print(model.predict(pd.DataFrame({'size': [10, 90], 'weight': [20, 180]})).tolist())
joblib.dump(model, '/volumes/pipeline-data/model.pkl')
"
"""
REPORT = """
# Generate PDF reports
rnx job run --runtime=java:17 \\
        --volume=pipeline-data \\
        --upload=ReportGenerator.java \\
        bash -c "
javac ReportGenerator.java
java ReportGenerator /volumes/pipeline-data/model.pkl
"
"""
REPORT_GENERATOR = """
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
public class ReportGenerator {
    public static void main(String[] arguments) throws Exception {
        Path model = Path.of(arguments[0]), report = model.resolveSibling("report.pdf");
        List<String> rows = Files.readAllLines(model.resolveSibling("cleaned.csv"));
        String text = (rows.size() - 1) + " rows, a model of " + (Files.size(model) > 1000 ? "thousands" : "few") + " of bytes";
        String page = "BT /F1 12 Tf 72 720 Td (" + text + ") Tj ET";
        String[] objects = {
            "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
            "<</Length " + page.length() + ">>stream\\n" + page + "\\nendstream",
            "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"};
        StringBuilder pdf = new StringBuilder("%PDF-1.4\\n");
        for (int i = 0; i < objects.length; i++)
            pdf.append(i + 1).append(" 0 obj").append(objects[i]).append("endobj\\n");
        Files.writeString(report, pdf.append("trailer<</Root 1 0 R>>\\n%%EOF\\n"), StandardCharsets.ISO_8859_1);
        System.out.println(report + ": " + text);
    }
}
"""


def test_python_prepares_python_learns_and_java_reports_through_a_volume(daemon, tmp_path):
    (tmp_path / "raw_data.csv").write_text(RAW)
    (tmp_path / "ReportGenerator.java").write_text(REPORT_GENERATOR)

    assert printed(daemon, tmp_path, PREPARE) == "Cleaned dataset: 100 rows\n"
    assert printed(daemon, tmp_path, ANALYSE) == "['a', 'b']\n"
    said = printed(daemon, tmp_path, REPORT)

    assert said == "/volumes/pipeline-data/report.pdf: 100 rows, a model of thousands of bytes\n"
    shown = printed(
        daemon, tmp_path, "rnx job run --volume=pipeline-data:ro head -c 8 /volumes/pipeline-data/report.pdf"
    )
    assert shown == "%PDF-1.4"


EXTRACT = """
import json, pandas
rows = pandas.read_csv("raw_data.csv").dropna()
print(json.dumps({kind: float(found["weight"].sum()) for kind, found in rows.groupby("kind")}))
"""
# Of the documents' transformer.jar, which they do not have, its source.
TRANSFORMER = """
import java.nio.file.*;
public class Transformer {
    public static void main(String[] arguments) throws Exception {
        System.out.println(Files.readString(Path.of("extracted.json")).replace("\\"a\\"", "\\"first\\""));
    }
}
"""
ANALYZE = "import json\nprint(sum(json.load(open('transformed.json')).values()))\n"


def test_stages_of_different_runtimes_are_joined_by_what_they_print(daemon, tmp_path):
    """The documents upload neither extract.py nor transformer.jar nor analyze.py: each is uploaded here besides."""
    (tmp_path / "raw_data.csv").write_text(RAW)
    (tmp_path / "extract.py").write_text(EXTRACT)
    (tmp_path / "analyze.py").write_text(ANALYZE)
    (tmp_path / "Transformer.java").write_text(TRANSFORMER)
    compiled = (
        "rnx job run --runtime=openjdk-21 --upload=Transformer.java --artifact=transformer.jar --name=jar bash -c "
    )
    compiled += "'javac Transformer.java && jar cfe transformer.jar Transformer *.class' && rnx job download jar"
    printed(daemon, tmp_path, compiled)

    printed(daemon, tmp_path, """
# Stage 1: Data extraction (Python + Pandas)
rnx job run \\
  --runtime=python-3.11-ml \\
  --upload=extract.py \\
  --upload=raw_data.csv \\
  python extract.py > extracted.json
""")  # fmt: skip
    printed(daemon, tmp_path, """
# Stage 2: Data transformation (Java processing)
rnx job run \\
  --runtime=openjdk-21 \\
  --upload=transformer.jar \\
  --upload=extracted.json \\
  java -jar transformer.jar > transformed.json
""")  # fmt: skip
    printed(daemon, tmp_path, """
# Stage 3: Analysis (Python + NumPy/SciPy)
rnx job run \\
  --runtime=python-3.11-ml \\
  --upload=analyze.py \\
  --upload=transformed.json \\
  python analyze.py > results.txt
""")  # fmt: skip

    weights = [float(row["weight"]) for row in csv.DictReader(RAW.splitlines()) if row["size"] and row["weight"]]
    assert set(json.loads((tmp_path / "transformed.json").read_text())) == {"first", "b"}
    assert (tmp_path / "results.txt").read_text() == f"{sum(weights)}\n"


@pytest.mark.parametrize("script", ["extract.py", "analyze.py"])
def test_a_stage_whose_script_was_not_uploaded_fails_and_says_so(daemon, tmp_path, script):
    """As they stand in the documents."""
    (tmp_path / "raw_data.csv").write_text(RAW)
    command = f"rnx job run --runtime=python-3.11-ml --upload=raw_data.csv python {script} > out.json"

    done = typed(daemon, tmp_path, command)

    assert done.returncode == 2
    assert f"can't open file '/work/{script}'" in done.stderr
    assert (tmp_path / "out.json").read_text() == ""
