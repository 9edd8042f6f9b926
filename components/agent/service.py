"""Where requests to an agent go: its Service, and during a release the versions behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi

from components.workloads import service

from .declaration import Declaration


def services(agent: Declaration, workloads: Sequence[pulumi.Resource], parent: pulumi.Resource) -> None:
    """Make the agent's Service, and the candidate's where the gateway divides requests by weight.

    `workloads` are the Deployments: where versions run side by side, a Service leads to a version once it is ready.
    """
    after = list(workloads) if agent.settings.rollout.strategy != "rolling" else []
    opts = pulumi.ResourceOptions(parent=parent, depends_on=after)
    stable, *candidates = agent.tracks
    if not candidates:
        _service(stable, stable.selector, opts)
    elif agent.settings.rollout.strategy == "blueGreen":
        (serving,) = (version for version in agent.tracks if version.track is not None and version.track.serves)
        _service(stable, serving.selector, opts)
    elif agent.environment.weighted_routes and agent.settings.public is not None:
        for version in agent.tracks:
            _service(version, version.selector, opts)
    else:
        # Every pod gets as many requests as every other: the numbers of pods are the shares.
        _service(stable, agent.all_pods, opts)


def _service(version: Declaration, selector: Mapping[str, str], opts: pulumi.ResourceOptions) -> None:
    service(version.object_name, version.metadata, selector, {"http": 80}, opts=opts)
