"""From the files of an environment to its manifests and the report about them."""

from __future__ import annotations

import pathlib
import shlex
from collections.abc import Sequence

from agentstack.judging.locate import Locator
from agentstack.judging.policy import Policies
from agentstack.rendering.dev_secrets import DevSecrets
from agentstack.rendering.environment import Environment
from agentstack.rendering.manifests import Manifests, check_folder, write
from manifests.capacity import capacity
from settings.errors import SettingsError

from .cost import Pricing
from .report import Preview, Report


def compute(environment: Environment, *, with_dev_secrets: bool = False) -> Preview:
    """Run the program for `environment` and judge what it makes; writes nothing but new development secrets.

    Raises `SettingsError` or `pulumi.RunError` for bad input.
    """
    # The engine's SDK takes 0.3 s to import, and the help of a command needs none of it.
    from agentstack.rendering.render import render

    policies = Policies.of(environment.project, environment.name)
    pricing = Pricing.of(policies.rules)
    store = _dev_secrets(environment) if with_dev_secrets else None
    rendered = render(environment, store)
    manifests = Manifests.of(rendered.registrations, with_secrets=with_dev_secrets)
    if store is not None:
        store.save()  # before the manifests: what they hold must not get lost
    objects = [manifest.object for manifest in manifests.items]
    namespaces = capacity(objects)
    settings = Locator(environment, rendered.registrations, manifests)
    violations = policies.judge(objects)
    return Preview(
        source=environment,
        rendered=rendered,
        manifests=manifests,
        namespaces=namespaces,
        policies=policies,
        violations=violations,
        located=[settings.place(violation) for violation in violations],
        safeguards=environment.platform.safeguards,
        cost=pricing.estimate(objects, namespaces),
    )


def run(
    environment: Environment, folder: pathlib.Path, *, command: Sequence[str], with_dev_secrets: bool = False
) -> Report:
    """Compute `environment`, write its manifests to `folder`, and report on them.

    `command` is the command line that leads to `environment` and `folder`; the next steps repeat it.

    Raises `SettingsError` or `pulumi.RunError` for bad input; then nothing is written.
    """
    check_folder(folder)
    preview = compute(environment, with_dev_secrets=with_dev_secrets)
    written = write(preview.manifests, folder)
    if preview.failed:
        steps = [(shlex.join(command), "again, when what the policies found is fixed")]
    else:
        steps = _next_steps(environment, folder, preview.manifests, command=command, with_dev_secrets=with_dev_secrets)
    return Report(preview, folder, written, steps)


def _dev_secrets(environment: Environment) -> DevSecrets:
    if environment.settings().platform.safeguards.require_secrets:
        raise SettingsError(
            f"{environment.file}: agentstack:platform.safeguards.requireSecrets: is on, so {environment.name} gets no "
            "made-up secrets: deploy it with `pulumi up`, or turn the safeguard off in a throw-away environment"
        )
    return DevSecrets(environment.project / ".dev-secrets" / f"{environment.name}.json")


def _next_steps(
    environment: Environment,
    folder: pathlib.Path,
    manifests: Manifests,
    *,
    command: Sequence[str],
    with_dev_secrets: bool,
) -> list[tuple[str, str]]:
    stack = shlex.quote(environment.name)
    steps = [(f"pulumi stack select --create {stack} && pulumi up", "deploy with the engine")]
    context = environment.platform.kube_context
    kubectl = f"kubectl --context {shlex.quote(context)}" if context else "kubectl"
    apply = f"{kubectl} apply --server-side -f {shlex.quote(str(folder))} -R"
    if with_dev_secrets or not any(manifest.withheld for manifest in manifests.items):
        steps.append((apply, "or without it"))
    elif not environment.platform.safeguards.require_secrets:
        again = shlex.join([*command, "--with-dev-secrets"])
        steps.append((f"{again} && {apply}", "or without it"))
    return steps
