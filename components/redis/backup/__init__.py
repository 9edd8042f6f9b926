"""Snapshots of every shard on a schedule, to a claim or a bucket, and the way back into an empty cluster."""

from .cronjobs import backup

__all__ = ["backup"]
