#!/bin/sh
# Before the node's end (preStop): a master hands over to the replica that has received the most. That replica waits
# until it has the rest too, while the master holds its clients' writes back: none is lost or refused for longer than
# a retry. Whatever fails, the end goes on: then the replicas notice it, after cluster-node-timeout.
# shellcheck source=components/redis/client.sh
. "${0%/*}/client.sh"
self=localhost:6379
export CLI_TIMEOUT=2

# The replica in step that has received the most. Not from the master's INFO, which has the addresses that replicas
# call from, not those that they answer at.
heir() {
  cli "$self" cluster nodes 2>&1 |
    awk -v me="$(cli "$self" cluster myid 2>&1)" '$4 == me && $3 !~ /fail|noaddr/ { sub(/@.*/, "", $2); print $2 }' |
    while read -r candidate; do
      about=$(cli "$candidate" info replication </dev/null 2>&1 | tr -d '\r')
      case $about in *master_link_status:up*)
        echo "$(printf '%s\n' "$about" | sed -n 's/^slave_repl_offset://p') $candidate"
        ;;
      esac
    done | sort -n -r | sed -n '1s/.* //p'
}

deadline=$(($(date +%s) + 20))
asked=0
while now=$(date +%s) && [ "$now" -lt "$deadline" ]; do
  state=$(cli "$self" info replication 2>&1)
  case $state in
  *role:master*) ;;
  *role:slave*)
    [ "$asked" = 0 ] || echo "$replica has taken over"
    exit 0
    ;;
  *)
    echo "does not answer: $state"
    exit 0
    ;;
  esac
  # A hand-over is given up by the replica after 5 s; then the next is asked for.
  if [ $((now - asked)) -gt 5 ]; then
    replica=$(heir)
    if [ -z "$replica" ]; then
      echo "no replica is in step: nobody to hand over to"
      exit 0
    fi
    echo "hands over to $replica: $(cli "$replica" cluster failover 2>&1)"
    asked=$now
  fi
  sleep 0.2
done
echo "still master after 20 s"
