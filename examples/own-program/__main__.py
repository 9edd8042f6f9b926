"""A program of one's own: the same typed classes, without the YAML files.

One agent with a Redis that a cloud provider runs, in a namespace that exists already.
"""

import pulumi

from components.agent import Agent, AgentEnvironment
from components.namespaces import Namespace
from components.redis import external
from settings import AgentSettings, ExternalRedis, RedisSettings, Resources, Scaling, SecretKey

managed = RedisSettings(
    mode="external",
    external=ExternalRedis(
        host="redis.example.com",
        port=6380,
        url_secret=SecretKey(name="managed-redis", key="url"),
        network="10.20.0.0/16",
    ),
)

researcher = Agent(
    "researcher",
    AgentSettings(
        image="ghcr.io/acme/researcher:2.3.0",
        resources=Resources.of(cpu="250m", memory="512Mi", cpu_limit="1", memory_limit="1Gi"),
        scaling=Scaling(min=2, max=8, cpu=70),
        uses=("redis",),
    ),
    AgentEnvironment(namespace=Namespace.existing("research"), connections={"redis": external(managed)}),
)

pulumi.export("service", researcher.service)
