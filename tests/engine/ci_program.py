"""What a stack of CI needs at least: one resource, and with `always` set one that is never done."""

import time

import pulumi
import pulumi_random

always = pulumi.Config().get_bool("always")
pulumi_random.RandomString("text", length=8, keepers={"now": str(time.time_ns())} if always else None)
