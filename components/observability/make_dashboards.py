"""Writes the dashboards of all parts: `python -m components.observability.make_dashboards` after a change.

Commit the result: the component reads the JSON files only, so that deploying needs no Grafana library.
"""

from __future__ import annotations

import importlib
import json
import pathlib

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from .collect import folders


def files() -> dict[pathlib.Path, str]:
    """Return each `dashboards/NAME.json` with what the function `dashboard` of `dashboards/NAME.py` describes."""
    texts = {}
    for part, folder in folders("dashboards"):
        for path in sorted(folder.glob("[!_]*.py")):
            module = importlib.import_module(f"components.{part}.dashboards.{path.stem}")
            texts[path.with_suffix(".json")] = _text(path.stem, module.dashboard())
    return texts


def _text(name: str, builder: Dashboard) -> str:
    # Links to a dashboard hold its uid, those to a panel its number.
    board = builder.uid(f"agentstack-{name}").build()
    for number, panel in enumerate(board.panels or [], start=1):
        panel.id_val = number
    return json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
