#!/bin/sh
# Forms the Redis Cluster, and heals it: look at all nodes, let plan.awk say the next commands, run them, look
# again. Nothing is remembered between rounds, so it may be killed at any point and run again, on a new cluster, a
# half-made one, a whole one, or one whose nodes all came back with other addresses.
#
# REDIS_NODES      host:port of every node, in the order of their ordinals, separated by spaces
# REDIS_SHARDS     how many masters there shall be
# REDISCLI_AUTH    the password, read by redis-cli
# TIMEOUT_SECONDS  give up after this long; default 300
#
# Exit codes: 0 the cluster is whole; 1 not in time, try again; 2 refused: a person must decide.
set -eu
trap 'exit 1' TERM INT

plan=$(dirname "$0")/plan.awk
deadline=$(($(date +%s) + ${TIMEOUT_SECONDS:-300}))

cli() {
  node=$1
  shift
  timeout 10 redis-cli -h "${node%:*}" -p "${node##*:}" "$@" 2>&1
}

observe() {
  for node in $REDIS_NODES; do
    echo "NODE $node"
    printf 'dbsize\ncluster info\ninfo replication\ncluster nodes\n' | cli "$node" | tr -d '\r'
  done
}

before=
while :; do
  steps=$(observe | awk -v shards="$REDIS_SHARDS" -f "$plan")
  while read -r verb node arguments; do
    case $verb in
    run)
      # A command that fails shows here, and the next round sees what it left.
      # shellcheck disable=SC2086  # the arguments are words
      echo "$node: $arguments: $(cli "$node" $arguments </dev/null)"
      ;;
    wait) [ "$steps" = "$before" ] || echo "waiting: $node $arguments" ;;
    refuse)
      echo "refused: $node $arguments"
      exit 2
      ;;
    done)
      echo "done: $node $arguments"
      exit 0
      ;;
    esac
  done <<STEPS
$steps
STEPS
  before=$steps
  if [ "$(date +%s)" -ge "$deadline" ]; then
    echo "gave up waiting"
    exit 1
  fi
  sleep 1
done
