"""The users of a Redis Cluster, and what each of them may do.

https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

OPERATOR, REPLICA, EXPORTER = "_operator", "_replica", "_exporter"
"""The stack's own users. Agents are users of their own names, which are DNS labels: they hold no underscore."""

SYSTEM_RIGHTS = {
    OPERATOR: "~* &* +@all",
    REPLICA: "+psync +replconf +ping",
    # The part of what redis_exporter documents that is asked for without its options for keys and scripts:
    # https://github.com/oliver006/redis_exporter#authenticating-with-redis. No CONFIG GET, which gives passwords away.
    EXPORTER: "+ping +info +cluster|info +client|setname +slowlog|len +slowlog|get +latency|latest +latency|histogram",
}
"""Of the stack's own users: the operator is the scripts', the replica the nodes' among themselves."""

_AGENT_COMMANDS = (
    "+@all -@admin -@dangerous"
    # Clients ask for it as they connect: https://github.com/redis/ioredis/issues/1211
    " +info"
    # Functions are shared: who replaces one that another agent calls would act with that agent's rights.
    " -function"
)
# Without the commands that name keys, channels or changes without asking whether the user may read them. Those about
# keys as such are given one by one, so that new ones (CLUSTERSCAN of Valkey 9.1) are not among them.
_NOTHING_OF_OTHERS = (
    " -cluster|getkeysinslot -client|tracking -pubsub -@keyspace"
    " +copy +dbsize +del +dump +exists +expire +expireat +expiretime +object|encoding +object|freq +object|help"
    " +object|idletime +object|refcount +persist +pexpire +pexpireat +pexpiretime +pttl +rename +renamenx +touch +ttl"
    " +type +unlink"
)


def agent_rights(keys: Sequence[str]) -> str:
    """Return what an agent may do with the keys and channels that match one of these patterns."""
    patterns = " ".join(f"~{pattern} &{pattern}" for pattern in keys)
    return f"{patterns} {_AGENT_COMMANDS}{'' if '*' in keys else _NOTHING_OF_OTHERS}".lstrip()


def acl_file(rights: Mapping[str, str], passwords: Mapping[str, str]) -> str:
    """Return an ACL file with a line for each user: the password's hash, and the rights. `default` is off."""
    lines = ["user default off"]
    for user, granted in rights.items():
        lines.append(f"user {user} on #{hashlib.sha256(passwords[user].encode()).hexdigest()} {granted}")
    return "\n".join(lines) + "\n"
