"""Snapshots of volumes: taken once, kept until they are deleted, and made into volumes by those.

Never here: how an image is copied, which is the backing's.
"""
