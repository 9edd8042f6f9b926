"""How long Prometheus keeps samples, and which changes of that delete some. Imports no Pulumi."""

from __future__ import annotations

from typing import Final

from components.change import NAMED, ChangeRule, shortened, shrunk, smaller_claims
from settings import Settings
from settings.types import duration_text


def facts(settings: Settings) -> dict[str, object]:
    """Return what a change is compared by."""
    prometheus = settings.observability.prometheus
    return {
        "observability.prometheus.storage": prometheus.storage,
        "observability.prometheus.retention": duration_text(prometheus.retention),
        "observability.prometheus.retentionSize": prometheus.retention_size,
    }


CHANGES: Final = (
    smaller_claims("observability.prometheus.storage"),
    ChangeRule(
        "observability.prometheus.retention",
        shortened,
        "Prometheus deletes the samples that are older than that",
        "be sure that nobody needs them",
        NAMED,
        refused=False,
    ),
    ChangeRule(
        "observability.prometheus.retentionSize",
        shrunk,
        "Prometheus deletes its oldest samples until the rest fits",
        "see by prometheus_tsdb_storage_blocks_bytes that they fit already",
        NAMED,
        refused=False,
    ),
)
