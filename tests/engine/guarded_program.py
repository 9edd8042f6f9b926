"""The platform's guard alone, with one child that every change of `redis.shards` and `redis.storage` replaces."""

import signal
from pathlib import Path

import pulumi
import pulumi_random as random

from components.platform.guard import facts
from components.platform.hook import guarded
from settings.engine import load_stack


class Guarded(pulumi.ComponentResource):
    """What a platform is to the engine."""

    def __init__(self) -> None:
        settings = load_stack(Path(__file__).parent)
        super().__init__("agentstack:platform:Platform", "platform", dict(facts(settings)), guarded(settings, None))
        keepers = {"all": str(facts(settings))}
        random.RandomId("child", byte_length=4, keepers=keepers, opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({})


signal.signal(signal.SIGINT, signal.SIG_DFL)
Guarded()
