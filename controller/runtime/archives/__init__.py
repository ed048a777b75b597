"""Archives on their way in: fetched, decompressed, checked entry by entry, unpacked, never out of their directory."""
