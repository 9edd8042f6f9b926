#!/bin/sh
# Takes a snapshot of every shard into BACKUP_DIR/TIME, and then deletes those beyond the last KEEP. A snapshot gets
# that name once all of it is there and checked. An empty cluster gets none, which would in the end push out those with
# keys. Safe to kill and to repeat.
#
# REDIS_ADDRESS  host:port of any node; and the variables of client.sh
# BACKUP_DIR     the folder of all snapshots
# WORK_DIR       a folder for a moment's files
# KEEP           how many snapshots stay
set -eu
here=$(dirname "$0")
# shellcheck source=/dev/null
. "$here/client.sh"
# shellcheck source=/dev/null
. "$here/cluster.sh"

check_rdb=${REDIS_CLI%cli}check-rdb
taken=$(date -u +%Y%m%dT%H%M%SZ)
unfinished=$BACKUP_DIR/$taken.unfinished

fact() { tr -d '\r' | sed -n "s/^$1://p"; }

# Who to copy a master from: a replica that has all that the master had a moment ago, or the master itself. A copy costs
# the node a fork; and a replica that is behind would lack what the master has just taken over with a slot.
source_of() {
  offset=$(cli "$2" info replication </dev/null | fact master_repl_offset)
  replicas=$(cli "$2" cluster nodes </dev/null |
    awk -v master="$1" '$4 == master && $3 !~ /fail|noaddr/ && $8 == "connected" { sub(/@.*/, "", $2); print $2 }')
  [ -z "$replicas" ] || sleep 1
  for replica in $replicas; do
    said=$(cli "$replica" info replication </dev/null) || continue
    if [ "$(echo "$said" | fact master_link_status)" = up ] &&
      [ "$(echo "$said" | fact slave_repl_offset)" -ge "$offset" ]; then
      echo "$replica"
      return
    fi
  done
  echo "$2"
}

# The lock is held until this process ends, however it ends: what is unfinished now, nobody is working on.
exec 9>"$BACKUP_DIR/.lock"
flock -n 9 || fail "Another backup is running: wait for it."
rm -rf "$BACKUP_DIR"/*.unfinished
mkdir "$unfinished"

layout >"$WORK_DIR/before"
shards=0
while read -r id master slots <&3; do
  shards=$((shards + 1))
  file=$unfinished/shard-$shards.rdb
  source=$(source_of "$id" "$master")
  (export CLI_TIMEOUT=3600 && cli "$source" --rdb "$file" </dev/null >"$WORK_DIR/copied" 2>&1) ||
    fail "$source: $(cat "$WORK_DIR/copied")"
  "$check_rdb" "$file" >"$WORK_DIR/checked" 2>&1 || fail "shard-$shards.rdb from $source: $(cat "$WORK_DIR/checked")"
  keys=$(sed -n 's/^\[info\] \([0-9]*\) keys read$/\1/p' "$WORK_DIR/checked")
  expires=$(sed -n 's/^\[info\] \([0-9]*\) expires$/\1/p' "$WORK_DIR/checked")
  echo "# shard-$shards.rdb: $keys keys, $expires of them with an expiry, of slots $slots, from $source"
done 3<"$WORK_DIR/before" >"$WORK_DIR/shards"

# Keys that moved between the copies of two shards could be in both, or in none.
layout >"$WORK_DIR/after"
cmp -s "$WORK_DIR/before" "$WORK_DIR/after" || fail "Slots or masters changed while the shards were copied: try again."

if ! grep -qv ': 0 keys,' "$WORK_DIR/shards"; then
  rm -rf "$unfinished"
  echo "The cluster holds no keys: there is nothing to keep."
  exit 0
fi

# To sha256sum --check, lines with # are comments.
{
  echo "# taken: $taken"
  cli "$REDIS_ADDRESS" info server </dev/null | tr -d '\r' | sed -En 's/^(redis|valkey)_version:/# server: &/p' | tail -n 1
  echo "# shards: $shards"
  cat "$WORK_DIR/shards"
  (cd "$unfinished" && sha256sum shard-*.rdb)
} >"$unfinished/manifest"
cat "$unfinished/manifest"
sync "$unfinished"/* "$unfinished"
mv "$unfinished" "$BACKUP_DIR/$taken"
sync "$BACKUP_DIR"
echo "$taken is whole: $(du -sh "$BACKUP_DIR/$taken" | cut -f 1)"

snapshots | tail -n "+$((KEEP + 1))" | while read -r old; do
  mv "$BACKUP_DIR/$old" "$BACKUP_DIR/$old.unfinished"
  rm -rf "$BACKUP_DIR/$old.unfinished"
  echo "$old is deleted: $KEEP are kept"
done
