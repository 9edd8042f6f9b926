#!/bin/sh
# Moves every key of a snapshot into an empty cluster of any number of shards. Each file of the snapshot is loaded by a
# server that only this script can reach, and MIGRATE moves its keys, with their times to live, to the masters that now
# own their slots; a key leaves that server once the master has it, so that everything moved when the server is empty.
#
# REDIS_ADDRESS  host:port of any node of the cluster; and the variables of client.sh
# BACKUP_DIR     the folder of all snapshots
# WORK_DIR       a folder for a moment's files
# SNAPSHOT       the name of one; empty: the latest
# REPLACE        if not empty: the cluster may hold keys, and those of the snapshot replace them
# LOCAL_PORT     the port of the server on 127.0.0.1; default 6380
set -eu
here=$(dirname "$0")
# shellcheck source=/dev/null
. "$here/client.sh"
# shellcheck source=/dev/null
. "$here/cluster.sh"

server=
trap 'if [ -n "$server" ]; then kill -9 "$server"; fi' EXIT
trap 'exit 143' TERM INT

# The server of this script has no password.
local_cli() { env -u REDISCLI_AUTH "$REDIS_CLI" -h 127.0.0.1 -p "${LOCAL_PORT:-6380}" "$@"; }

each_master() {
  while read -r _ master _ <&3; do
    cli "$master" "$@" </dev/null | tr -d '\r'
  done 3<"$WORK_DIR/masters"
}
# Fails unless every master has said a number.
sum() {
  awk -F : -v masters="$(wc -l <"$WORK_DIR/masters")" '
    $NF !~ /^[0-9]+$/ { bad = 1 }
    { sum += $NF }
    END { if (bad || NR != masters) exit 1; print sum }' || fail "A master does not answer."
}
keys_there() { each_master dbsize | sum; }
evicted() { each_master info stats | grep '^evicted_keys:' | sum; }

# Starts a server that holds the keys of a file.
load() {
  rm -f "$WORK_DIR/nodes.conf"
  set -- --bind 127.0.0.1 --port "${LOCAL_PORT:-6380}" --dir "$snapshot" --dbfilename "$1" --save '' \
    --cluster-enabled yes --cluster-config-file "$WORK_DIR/nodes.conf" --cluster-require-full-coverage no
  if [ -n "${REDIS_TLS_DIR:-}" ]; then
    # Whether MIGRATE speaks TLS is up to tls-cluster.
    set -- "$@" --tls-cluster yes --tls-ca-cert-file "$REDIS_TLS_DIR/ca.crt" \
      --tls-cert-file "$REDIS_TLS_DIR/tls.crt" --tls-key-file "$REDIS_TLS_DIR/tls.key"
  fi
  # The image's entrypoint loads the modules of Redis 8, whose types may be in the file.
  $(command -v docker-entrypoint.sh) "${REDIS_CLI%cli}server" "$@" >"$WORK_DIR/log" 2>&1 </dev/null &
  server=$!
  until [ "$(local_cli ping 2>/dev/null)" = PONG ]; do
    sleep 0.2
    kill -0 "$server" 2>/dev/null || fail "The server does not load it: $(tail -n 5 "$WORK_DIR/log")"
  done
}

unload() {
  kill "$server"
  wait "$server" || true
  server=
}

# Moves the keys of the slots from $3 to $4 to the master $1:$2.
move() {
  while :; do
    printf %s "$REDISCLI_AUTH" |
      local_cli -x eval "$(cat "$here/move.lua")" 0 "$@" "${REPLACE:+REPLACE}" "$REDIS_USER" >"$WORK_DIR/commands"
    [ "$(wc -c <"$WORK_DIR/commands")" -gt 1 ] || return 0
    local_cli --pipe --pipe-timeout 0 <"$WORK_DIR/commands" >"$WORK_DIR/replies" 2>&1 ||
      fail "$(sort "$WORK_DIR/replies" | uniq -c | head -n 5)
The restore stopped half-way. Mend the cause, then run it again with REPLACE=yes, which goes on where keys exist."
  done
}

restore_functions() {
  [ -n "$(local_cli function list)" ] || return 0
  local_cli --raw function dump | head -c -1 >"$WORK_DIR/functions"
  while read -r _ master _ <&4; do
    cli "$master" -X PAYLOAD function restore PAYLOAD REPLACE <"$WORK_DIR/functions" >"$WORK_DIR/replies" 2>&1 || true
    grep -qx OK "$WORK_DIR/replies" || fail "$master: function restore: $(cat "$WORK_DIR/replies")"
  done 4<"$WORK_DIR/masters"
}

latest=$(snapshots | head -n 1)
name=${SNAPSHOT:-$latest}
snapshot=$BACKUP_DIR/$name
[ -n "$name" ] || fail "There is no snapshot."
snapshots | grep -qxF -e "$name" || fail "There is no snapshot $name. There are: $(snapshots | tr '\n' ' ')"

layout >"$WORK_DIR/masters"
present=$(keys_there)
if [ "$present" != 0 ] && [ -z "${REPLACE:-}" ]; then
  fail "The cluster holds $present keys, and a restore wants an empty one. Nothing was changed. If they may go, run" \
    "FLUSHALL on every master; to replace only those that the snapshot holds as well, set REPLACE=yes."
fi

declared=$(sed -n 's/^# shards: //p' "$snapshot/manifest")
[ "$(grep -c '^[0-9a-f]\{64\}  shard-[0-9]*\.rdb$' "$snapshot/manifest")" = "$declared" ] ||
  fail "The manifest of $name is damaged. Nothing was changed."
(cd "$snapshot" && sha256sum --check --strict --quiet manifest) ||
  fail "$name is damaged: its files are not those of its manifest. Nothing was changed."

echo "Restoring $name into $(wc -l <"$WORK_DIR/masters") masters"
evicted_before=$(evicted)
for file in "$snapshot"/shard-*.rdb; do
  load "${file##*/}"
  restore_functions
  keys=$(local_cli dbsize)
  expired=$(local_cli info persistence | tr -d '\r' | sed -n 's/^rdb_last_load_keys_expired://p')
  if [ "$keys" != 0 ]; then
    until local_cli cluster info | grep -q '^cluster_state:ok'; do sleep 0.2; done
    while read -r _ master slots <&5; do
      for range in $slots; do
        move "${master%:*}" "${master##*:}" "${range%-*}" "${range#*-}"
      done
    done 5<"$WORK_DIR/masters"
    [ "$(local_cli dbsize)" = 0 ] || fail "$(local_cli dbsize) keys of ${file##*/} did not move."
  fi
  unload
  echo "${file##*/}: $keys keys moved, $expired had expired"
done
evicted_after=$(evicted)
[ "$evicted_after" = "$evicted_before" ] ||
  fail "The cluster's memory is too small: it evicted $((evicted_after - evicted_before)) keys while they came in."
present=$(keys_there)
echo "$name is restored: the cluster holds $present keys"
