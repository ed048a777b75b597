from api.meta import ObjectKey
from controller.manifests.declare import declared, why_kept
from controller.manifests.sources import Entry, FeedKind, Reading, Source, entry_of
from support.manifests import a_manifest

DIRECTORY = Source(FeedKind.DIRECTORY)
BILLING = Source(FeedKind.INBOX, "billing")
ETL = ObjectKey("Job", "default", "etl")


def a_reading(*entries: Entry, **options: object) -> Reading:
    return Reading(entries, **options)


def an_entry(text: str, name: str = "a.yaml", source: Source = DIRECTORY) -> Entry:
    return entry_of(source, name, text.encode())


def mistakes(text: str) -> list[str]:
    return [mistake.message for mistake in declared(a_reading(an_entry(text))).mistakes]


def test_an_object_is_declared_with_the_file_it_came_from():
    [wanted] = declared(a_reading(an_entry(a_manifest()))).wanted

    assert (wanted.key, wanted.place) == (ETL, "a.yaml:1")
    assert wanted.document["metadata"]["annotations"] == {"manifests.runwright.dev/directory": "a.yaml"}


def test_an_inbox_source_has_an_annotation_and_a_manager_of_its_own():
    [wanted] = declared(a_reading(an_entry(a_manifest(), "nightly", BILLING))).wanted

    assert wanted.document["metadata"]["annotations"] == {"manifests.runwright.dev/inbox.billing": "nightly"}
    assert (BILLING.manager, wanted.place) == ("manifests/inbox/billing", "inbox/billing/nightly:1")


def test_what_others_need_is_applied_before_them():
    texts = [
        a_manifest(),
        a_manifest(kind="Runtime"),
        a_manifest(kind="Registry"),
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n",
    ]

    found = declared(a_reading(an_entry("\n---\n".join(texts)))).wanted

    assert [wanted.key.kind for wanted in found] == ["Namespace", "Registry", "Runtime", "Job"]


def test_of_two_declarations_of_one_object_the_first_counts_and_the_other_names_it():
    said = declared(a_reading(an_entry(a_manifest(), "a.yaml"), an_entry("\n\n" + a_manifest(), "b.yaml")))

    assert [wanted.place for wanted in said.wanted] == ["a.yaml:1"]
    assert [m.message for m in said.mistakes] == [
        "b.yaml:3: job/default/etl is declared in a.yaml:1 already: remove one of them"
    ]


def test_two_sources_may_declare_one_object():
    said = declared(
        a_reading(an_entry(a_manifest(), "x", BILLING), an_entry(a_manifest(), "x", Source(FeedKind.INBOX, "other")))
    )

    assert (len(said.wanted), said.mistakes) == (2, ())


def test_what_is_no_object_says_so_with_file_and_line():
    assert mistakes("just text") == [
        "a.yaml:1: cannot read the object: it is not a mapping: write apiVersion, kind, metadata and spec"
    ]
    assert mistakes("\nkind: Job\n")[0].startswith("a.yaml:2: cannot read the Job: it has no apiVersion")
    assert mistakes(a_manifest(kind="Jobb"))[0].startswith('a.yaml:2: no matches for kind "Jobb"')
    assert mistakes("apiVersion: v1\nkind: Event\nmetadata: {name: x}\n") == [
        "a.yaml:2: events are recorded, not declared: remove it"
    ]


def test_an_object_without_a_name_says_so_on_the_line_of_its_metadata():
    text = "apiVersion: runwright.dev/v1alpha1\nkind: Job\nmetadata:\n  generateName: etl-\n"

    assert mistakes(text) == ["a.yaml:3: metadata.name: a declared Job needs a name, as text: write one"]
    assert mistakes(text.replace("generateName: etl-", "name: 7")) == [
        "a.yaml:4: metadata.name: a declared Job needs a name, as text: write one"
    ]


def test_what_is_not_declared_any_more_may_be_pruned():
    reading = a_reading(an_entry(a_manifest("other"), "b.yaml"))

    assert why_kept(reading, declared(reading), DIRECTORY, ETL, "a.yaml") == ""


def test_the_object_of_a_file_that_cannot_be_read_is_kept_and_those_of_others_are_not():
    reading = a_reading(an_entry("kind: [", "a.yaml"))
    said = declared(reading)

    assert why_kept(reading, said, DIRECTORY, ETL, "a.yaml") == "a.yaml cannot be read"
    assert why_kept(reading, said, DIRECTORY, ETL, "b.yaml") == ""
    assert why_kept(reading, said, BILLING, ETL, "a.yaml") == ""


def test_the_object_of_a_document_that_makes_no_sense_is_kept():
    reading = a_reading(an_entry(a_manifest(kind="Jobb"), "a.yaml"))

    assert why_kept(reading, declared(reading), DIRECTORY, ETL, "a.yaml") == "a.yaml cannot be read"


def test_an_object_whose_name_stands_in_a_file_that_cannot_be_read_is_kept():
    reading = a_reading(an_entry("metadata:\n  name: etl\n  [", "renamed.yaml"))
    said = declared(reading)

    assert why_kept(reading, said, DIRECTORY, ETL, "a.yaml") == "renamed.yaml cannot be read"
    assert why_kept(reading, said, DIRECTORY, ObjectKey("Job", "default", "et"), "a.yaml") == ""


def test_nothing_is_pruned_while_the_feed_says_so():
    reading = a_reading(keep_all="b.yaml is being written")

    assert why_kept(reading, declared(reading), DIRECTORY, ETL, "a.yaml") == "b.yaml is being written"


def test_a_source_that_has_not_written_into_a_new_inbox_keeps_what_it_had():
    reading = a_reading(only=frozenset({Source(FeedKind.INBOX, "other")}))

    assert (
        why_kept(reading, declared(reading), BILLING, ETL, "x")
        == "inbox/billing has not written since the inbox was made anew"
    )
