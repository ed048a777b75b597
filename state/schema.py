"""The tables of the store. An API object is never a row: it is the JSON text in one.

Here: the tables as they are now, for the statements of `journal.py`. Never here: how a file gets
them; `migrations.py` holds that as frozen text, and a test holds the two equal.
"""

from sqlalchemy import Column, Integer, UniqueConstraint
from sqlmodel import Field, SQLModel

NO_REVISION = 0
"""Stands for "there was nothing before": revisions begin at 1."""


class JournalRow(SQLModel, table=True):
    """One change of one object. Rows are only ever added, and removed by compaction.

    `UNIQUE (key, prev_revision)` is the optimistic lock as a fact of the database: no two changes
    can have the same predecessor. `AUTOINCREMENT` never gives a revision twice.
    """

    __tablename__ = "journal"
    __table_args__ = (
        UniqueConstraint("kind", "namespace", "name", "prev_revision"),
        {"sqlite_autoincrement": True},
    )

    revision: int = Field(sa_column=Column(Integer, primary_key=True, nullable=False))
    kind: str
    namespace: str
    name: str
    created: bool
    deleted: bool
    prev_revision: int
    written_at: int
    value: str
    old_value: str | None


class MetaRow(SQLModel, table=True):
    """One fact about the store itself, such as the floor of its compaction."""

    __tablename__ = "meta"

    name: str = Field(primary_key=True)
    value: int
