"""Toy: are the boxes there?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from components.observability.panels import Row, board, number


def dashboard() -> Dashboard:
    """Are the boxes there?"""
    return board("Toy", "Toy: are the boxes there?", Row("Now", [number("Boxes", "sum(toy_boxes)")]))
