"""The demo: the main job end to end, on this host, checked as it goes, leaving nothing behind."""
