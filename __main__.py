"""One stack of Agent Stack: settings in, platform out. Run by `pulumi up` and by `agentstack preview`."""

import signal
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.platform.component import Platform
from settings import SettingsError
from settings.engine import load_stack

# The engine interrupts the program once a policy or the guard has refused: without a traceback below the reason.
signal.signal(signal.SIGINT, signal.SIG_DFL)
try:
    settings = load_stack(Path(__file__).parent)
except SettingsError as error:
    raise pulumi.RunError(str(error)) from None

cluster = k8s.Provider(
    "cluster",
    context=settings.platform.kube_context,
    # Without it another path or context of the kubeconfig would replace every object.
    cluster_identifier=pulumi.get_stack(),
    # In place: pods hold these by name, and roll by a hash where the change matters to them.
    enable_config_map_mutable=True,
    enable_secret_mutable=True,
)
values = pulumi.Config("agentstack").require_secret_object("secrets") if settings.secrets else None
platform = Platform(
    "platform",
    settings,
    secrets={name: values[name] for name in settings.secrets} if values else {},
    opts=pulumi.ResourceOptions(provider=cluster),
)
for name, value in platform.outputs.items():
    pulumi.export(name, value)
