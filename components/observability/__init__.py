"""Metrics, alerts and dashboards of the whole stack."""
