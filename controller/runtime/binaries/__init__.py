"""ELF files and what they need. Pure but for reading them."""
