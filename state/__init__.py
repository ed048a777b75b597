"""What runwright remembers: one SQLite file, an append-only journal, and the inbox.

Here: the store, its schema, watch, compaction, backup, and the pure lifecycle rules of an object.
Never here: what an object means, the kernel, HTTP.
"""
