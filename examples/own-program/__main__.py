"""A program of one's own: the same typed classes, without the YAML files.

One agent with a Redis that a cloud provider runs, in a namespace that exists already. A preflight tries that Redis
first: if it fails, the agent stays as it is, and `pulumi up` says why.
"""

import pulumi

from components.agent import Agent, AgentEnvironment
from components.namespaces import Namespace
from components.redis import external, preflight
from settings import AgentSettings, ExternalRedis, ExternalTls, RedisSettings, Resources, Scaling, SecretKey

namespace = Namespace.existing("research")
managed = RedisSettings(
    mode="external",
    external=ExternalRedis(
        host="redis.example.com",
        port=6380,
        url_secret=SecretKey(name="managed-redis", key="url"),
        tls=ExternalTls(ca=SecretKey(name="managed-redis", key="ca.crt")),
        network="10.20.0.0/16",
    ),
)
settings = AgentSettings(
    image="ghcr.io/acme/researcher:2.3.0",
    resources=Resources.of(cpu="250m", memory="512Mi", cpu_limit="1", memory_limit="1Gi"),
    scaling=Scaling(min=2, max=8, cpu=70),
    uses=("redis",),
)
tried = preflight("redis", managed, clients={"researcher": settings}, namespace=namespace)
researcher = Agent(
    "researcher",
    settings,
    AgentEnvironment(namespace=namespace, connections={"redis": external(managed, preflight=tried)}),
)

pulumi.export("service", researcher.service)
