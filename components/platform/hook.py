"""The guard as the engine asks it: before it updates the resource that has the facts."""

from __future__ import annotations

import pulumi

from settings import Settings

from .guard import refusals


def guarded(settings: Settings, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    """Return `opts` for a resource whose inputs are the `facts`, and whose update is refused where it loses data.

    All other resources must be its children: they wait for it, so nothing has changed when it is refused.
    """

    def refuse(change: pulumi.ResourceHookArgs) -> None:
        lines = list(refusals(change.old_inputs or {}, change.new_inputs or {}, settings.platform.safeguards.accept))
        if lines:
            raise ValueError("\n".join(("refused, nothing was changed; docs/data.md has the steps", *lines)))

    hook = pulumi.ResourceHook("keep data", refuse, pulumi.ResourceHookOptions(on_dry_run=True))
    binding = pulumi.ResourceHookBinding(before_update=[hook])
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(hooks=binding))
