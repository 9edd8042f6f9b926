#!/bin/sh
# Forms the Redis Cluster, and keeps it whole: look at all nodes, let plan.awk say the next commands, run them, look
# again, for ever. It decides by what it sees alone, so it may be killed at any point and started again, on a new
# cluster, a half-made one, a whole one, or one whose nodes all came back with other addresses.
#
# REDIS_NODES       host:port of every node, in the order of their ordinals, separated by spaces
# REDIS_SHARDS      how many masters there shall be
# REDISCLI_AUTH     the password, read by redis-cli
# STATE_DIR         where the file `ready` is while the cluster is whole, and `alive` is touched at every step
# INTERVAL_SECONDS  from one look to the next while there is nothing to do; default 5
# ONCE              if set, it ends: 0 the cluster is whole; 2 refused: a person must decide;
#                   1 neither in TIMEOUT_SECONDS, default 300
set -eu
trap 'exit 143' TERM INT

plan=$(dirname "$0")/plan.awk
deadline=$(($(date +%s) + ${TIMEOUT_SECONDS:-300}))
newline='
'

cli() {
  touch "$STATE_DIR/alive"
  node=$1
  shift
  timeout 3 redis-cli -h "${node%:*}" -p "${node##*:}" "$@" 2>&1
}

observe() {
  for node in $REDIS_NODES; do
    echo "NODE $node"
    printf 'dbsize\ncluster info\ninfo replication\ncluster nodes\n' | cli "$node" | tr -d '\r'
  done
}

# In the background, since a signal's trap waits for what runs in front.
pause() {
  sleep "$1" &
  wait $!
}

# Of the container before this one, perhaps.
rm -f "$STATE_DIR/ready"
verdict=
told=
while :; do
  steps=$(observe | awk -v shards="$REDIS_SHARDS" -f "$plan")
  before=$verdict
  verdict=${steps##*"$newline"} # run, wait, refuse or done: the first word of the last line
  verdict=${verdict%% *}
  # The nodes are not asked at the same instant, and a failover may fall in between: only a second look is believed.
  if [ "$verdict" = refuse ] && [ "$before" != refuse ]; then
    pause 1
    continue
  fi

  if [ "$verdict" = "done" ]; then touch "$STATE_DIR/ready"; else rm -f "$STATE_DIR/ready"; fi
  while read -r verb node arguments; do
    case $verb in
    run)
      # A command that fails shows here, and the next round sees what it left.
      # shellcheck disable=SC2086  # the arguments are words
      echo "$node: $arguments: $(cli "$node" $arguments </dev/null)"
      ;;
    *) [ "$steps" = "$told" ] || echo "$verb: $node $arguments" ;;
    esac
  done <<STEPS
$steps
STEPS
  told=$steps

  if [ -n "${ONCE:-}" ]; then
    case $verdict in
    done) exit 0 ;;
    refuse) exit 2 ;;
    esac
    if [ "$(date +%s)" -ge "$deadline" ]; then
      echo "gave up waiting"
      exit 1
    fi
  fi
  case $verdict in
  done | refuse) pause "${INTERVAL_SECONDS:-5}" ;;
  *) pause 1 ;;
  esac
done
