#!/bin/sh
# Ready is a node that serves. As part of a whole cluster (all slots assigned) it must also see that cluster as ok
# and, as a replica, follow its master: so a rolling update waits for each node before it takes the next.
# Before that a node is ready at once, so that a half-made cluster can still be updated.
# shellcheck source=components/redis/client.sh
. "${0%/*}/client.sh"
# Insecure: while a new authority's certificates come into use, the node's may still be of the old one.
state=$(printf 'ping\ncluster info\ninfo replication\n' | cli localhost:6379 --insecure 2>&1 | tr -d '\r')
has() { printf '%s\n' "$state" | grep -q -x -e "$1"; }

if ! has PONG; then
  echo "does not answer PONG: $(printf '%s\n' "$state" | head -n 1)"
elif ! has cluster_slots_assigned:16384; then
  exit 0
elif ! has cluster_state:ok; then
  echo "sees the cluster as failed"
elif has master_link_status:down; then
  echo "is not in step with its master"
else
  exit 0
fi
exit 1
