"""Serve the rules to the Pulumi engine: `pulumi preview --policy-pack policies`.

Each rule is one policy under the rule's id: mandatory if it is an error, advisory if it is a warning, unless
`--policy-pack-config` says otherwise. What could not be evaluated is reported under policies of their own, which are
mandatory: an advisory rule that nobody could evaluate fails the run, too. So are those that watch over `waivers.yaml`,
which lies beside this file.
"""

from __future__ import annotations

import pathlib
import sys

from policies.analyzer import Analyzer, serve
from policies.rules import RULES
from policies.waiver_file import WaiverFileError, read_waivers

if __name__ == "__main__":
    file = pathlib.Path(__file__).with_name("waivers.yaml")
    try:
        waivers = read_waivers(file, [rule.id for rule in RULES])
    except WaiverFileError as error:
        sys.exit(str(error))
    serve(Analyzer(waivers, file.name))
