#!/bin/sh
# Forms the Redis Cluster, and keeps it whole: look at all nodes, let plan.awk say the next commands, run them, look
# again, for ever. It decides by what it sees alone, so it may be killed at any point and started again, on a new
# cluster, a half-made one, a growing one, a whole one, or one whose nodes all came back with other addresses.
#
# REDIS_NODES       host:port of every node, in the order of their ordinals, separated by spaces
# REDIS_SHARDS      how many masters there shall be
# REDIS_CLI, REDIS_USER, REDISCLI_AUTH, REDIS_TLS_DIR  see client.sh; the nodes' certificates are in the same folder
# STATE_DIR         where the file `ready` is while the cluster is whole, and `alive` is touched at every step
# INTERVAL_SECONDS  from one look to the next while there is nothing to do; default 5
# RELOAD_SECONDS    from one time that the nodes read users and certificates again to the next; default 30
# ONCE              for tests: if set, it ends: 0 the cluster is whole; 2 refused: a person must decide;
#                   1 neither in TIMEOUT_SECONDS, default 300
set -eu
trap 'exit 143' TERM INT

# shellcheck source=components/redis/client.sh
. "${0%/*}/client.sh"
plan=${0%/*}/plan.awk
deadline=$(($(date +%s) + ${TIMEOUT_SECONDS:-300}))
newline='
'

ask() {
  touch "$STATE_DIR/alive"
  (CLI_TIMEOUT=3 && cli "$@") 2>&1
}

observe() {
  questions='dbsize\ncluster info\ninfo replication\nconfig get cluster-announce-human-nodename\ncluster nodes\n'
  for node in $REDIS_NODES; do
    echo "NODE $node"
    # shellcheck disable=SC2059  # its \n are meant
    { printf "$questions" && [ -z "$thorough" ] || echo "$keys_in_slots"; } | ask "$node" | tr -d '\r'
  done
}

# A script, since 16384 commands take too long; not in every look, since it stops the node for some 10 ms.
keys_in_slots="eval \"local slots = {'keys_in_slots:'} for slot = 0, 16383 do \
if redis.call('cluster', 'countkeysinslot', slot) > 0 then slots[#slots + 1] = slot end end \
return table.concat(slots, ' ')\" 0"

# Says what a node replied, unless that is OK.
expect_ok() {
  reply=$(ask "$@" </dev/null)
  [ "$reply" = OK ] && return
  echo "$*: $reply"
  return 1
}

# Certificates and users are files that are renewed under the nodes: they read them again when they are told to.
reload() {
  for node in $REDIS_NODES; do
    [ -z "${REDIS_TLS_DIR:-}" ] || expect_ok "$node" config set tls-cert-file "$REDIS_TLS_DIR/tls.crt" \
      tls-key-file "$REDIS_TLS_DIR/tls.key" tls-ca-cert-file "$REDIS_TLS_DIR/ca.crt" || true
    [ -z "${REDIS_USER:-}" ] || expect_ok "$node" acl load || true
  done
}

# Moves what is left of a slot: SLOT FROM ITS-ID TO ITS-ID. Where both nodes have a key, that of the slot's owner
# counts, since clients were led there. The password goes through the pipe: no list of processes shows it.
move() {
  echo "moves the rest of slot $1 from $2 to $4"
  expect_ok "$4" cluster setslot "$1" importing "$3" && expect_ok "$2" cluster setslot "$1" migrating "$5" || return 0
  user=
  [ -z "${REDISCLI_AUTH:-}" ] || user="auth2 ${REDIS_USER:-default} $REDISCLI_AUTH"
  while :; do
    # Quoted as redis-cli reads them, whatever bytes they have.
    keys=$(ask "$2" --no-raw cluster getkeysinslot "$1" 10 </dev/null | sed -n 's/^ *[0-9]*) //p' | tr '\n' ' ')
    [ -n "$keys" ] || break
    reply=$(printf 'migrate %s %s "" 0 60000 replace %s keys %s\n' "${4%:*}" "${4##*:}" "$user" "$keys" |
      (CLI_TIMEOUT=70 && cli "$2") 2>&1 || true)
    case $reply in
    OK | NOKEY) ;;
    *)
      echo "$2: migrate: $reply"
      return
      ;;
    esac
  done
  # With keys left, for whatever reason, they would be deleted when the slot goes.
  [ "$(ask "$2" cluster countkeysinslot "$1" </dev/null)" = 0 ] || return 0
  # Only who is importing at that moment gets the slot for good (a new epoch).
  expect_ok "$4" cluster setslot "$1" importing "$3" && expect_ok "$4" cluster setslot "$1" node "$5" &&
    expect_ok "$2" cluster setslot "$1" node "$5" || return 0
}

# Minutes, perhaps: alive while it goes on.
reshard() {
  echo "moves $4 slots from $2 to $3"
  cli "$1" --cluster reshard "$1" --cluster-from "$2" --cluster-to "$3" --cluster-slots "$4" --cluster-yes \
    </dev/null 2>&1 | while IFS= read -r line; do
    touch "$STATE_DIR/alive"
    case $line in *ERR* | *rror* | *'***'*) echo "$line" ;; esac
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
reloaded=0
while :; do
  if [ $(($(date +%s) - reloaded)) -ge "${RELOAD_SECONDS:-30}" ]; then
    reload
    reloaded=$(date +%s)
  fi

  # Moves that were cut short are looked for unless all was well at the last look.
  thorough=1
  [ "$verdict" != "done" ] || thorough=
  steps=$(observe | awk -v shards="$REDIS_SHARDS" -v thorough="$thorough" -f "$plan")
  before=$verdict
  verdict=${steps##*"$newline"} # the first word of the last line
  verdict=${verdict%% *}
  # The nodes are not asked at the same instant, and a failover may fall in between: only a second look is believed.
  if [ "$verdict" = refuse ] && [ "$before" != refuse ]; then
    pause 1
    continue
  fi

  case $verdict in
  done | reshard) touch "$STATE_DIR/ready" ;; # whole, if not even yet
  *) rm -f "$STATE_DIR/ready" ;;
  esac
  while read -r verb node arguments; do
    # shellcheck disable=SC2086  # the arguments are words
    case $verb in
    # A command that fails shows here, and the next round sees what it left.
    run) echo "$node: $arguments: $(ask "$node" $arguments </dev/null)" ;;
    move | reshard) "$verb" "$node" $arguments ;;
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
