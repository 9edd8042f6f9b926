"""From an environment to the explanation of one of its agents."""

from __future__ import annotations

from collections.abc import Sequence

from agentstack.rendering.environment import Environment
from agentstack.rendering.manifests import Manifests
from agentstack.rendering.registration import Registration

from .model import Explanation, Setting
from .objects import described, own_objects, serving_objects
from .origins import settings_of
from .variables import variables


def explained(environment: Environment, agent: str) -> Explanation:
    """Run the program for `environment`, and explain one of its agents.

    Raises `SettingsError` for bad input, or an agent that is unknown or not enabled there.
    """
    # The engine's SDK takes 0.3 s to import, and the help of the command needs none of it.
    from agentstack.rendering.render import render

    settings = list(settings_of(environment, agent))
    return explanation(environment.name, agent, settings, render(environment).registrations)


def explanation(
    environment: str, agent: str, settings: Sequence[Setting], registrations: Sequence[Registration]
) -> Explanation:
    """Explain an agent with these `settings` by what the program registered."""
    by_urn = {registration.urn: registration for registration in registrations}
    things = Manifests.of(registrations).items
    own = own_objects(agent, things, by_urn)
    written = [setting for setting in settings if setting.origin]
    given = {setting.path.partition(".")[0] for setting in written}
    given |= {
        f"{setting.path}: {item}" for setting in written if isinstance(setting.value, list) for item in setting.value
    }
    objects = described([*own, *serving_objects(own, things)], by_urn, given)
    return Explanation(agent, environment, settings, objects, variables(agent, own))
