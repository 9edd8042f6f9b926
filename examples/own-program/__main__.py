"""A program of one's own: the same typed classes, without the YAML files.

One agent on spot nodes, in a namespace of its own, with a Redis that a cloud provider runs. A preflight tries that
Redis first: if it fails, the agent stays as it is, and `pulumi up` says why.
"""

from datetime import timedelta

import pulumi

from components.agent.component import Agent
from components.agent.declaration import AgentEnvironment
from components.namespaces.component import isolated_namespace
from components.redis.external import external, preflight
from settings import (
    PROVIDER_POOLS,
    AgentSecret,
    AgentSettings,
    Amounts,
    Cpu,
    Egress,
    ExternalRedis,
    ExternalTls,
    Memory,
    NamespaceSettings,
    Placement,
    Quota,
    RedisSettings,
    Resources,
    Scaling,
    SecretKey,
    Shutdown,
)

quota = Quota(
    requests=Amounts(cpu=Cpu("4"), memory=Memory("8Gi")), limits=Amounts(cpu=Cpu("12"), memory=Memory("16Gi"))
)
namespace = isolated_namespace("research", NamespaceSettings(name="research", quota=quota))
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
    scaling=Scaling(min=2, max=8, cpu=70, scale_down_after=timedelta(minutes=15)),
    uses=("redis",),
    secrets={"OPENAI_API_KEY": AgentSecret()},
    egress=(Egress(host="api.openai.com"),),
    shutdown=Shutdown(longest_task=timedelta(seconds=90)),
    placement=Placement(pool="spot", architecture="arm64"),
)
tried = preflight("redis", managed, clients={"researcher": settings}, namespace=namespace)
researcher = Agent(
    "researcher",
    settings,
    AgentEnvironment(
        namespace=namespace,
        connections={"redis": external(managed, preflight=tried)},
        secrets={"OPENAI_API_KEY": pulumi.Config().require_secret("openaiApiKey")},
        pools=PROVIDER_POOLS["karpenter"],
    ),
)

pulumi.export("service", researcher.service)
