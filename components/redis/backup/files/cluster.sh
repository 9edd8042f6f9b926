#!/bin/sh
# Sourced by snapshot.sh and restore.sh, after client.sh.

# A node that hangs is not waited for; what takes longer says so.
export CLI_TIMEOUT=10

fail() {
  echo "$*" >&2
  exit 1
}

# A line for each master, `ID HOST:PORT SLOTS...`, by ID, as each says of itself: what one knows of others may be late.
# Fails unless together they own all 16,384 slots once, with none on the move.
layout() {
  for master in $(cli "$REDIS_ADDRESS" cluster nodes </dev/null |
    awk '$3 ~ /master/ && $3 !~ /fail|handshake|noaddr/ && NF > 8 { sub(/@.*/, "", $2); print $2 }'); do
    cli "$master" cluster nodes </dev/null
  done | tr -d '\r' | sort | awk '
    $3 !~ /myself/ || $3 !~ /master/ { next }
    {
      sub(/@.*/, "", $2)
      line = $1 " " $2
      for (i = 9; i <= NF; i++) {
        if ($i ~ /^\[/) { moving++; continue }
        line = line " " $i
        if (split($i, ends, "-") == 1) ends[2] = ends[1]
        for (s = ends[1] + 0; s <= ends[2] + 0; s++) { total += !(s in owned); twice += s in owned; owned[s] }
      }
      print line
    }
    END {
      if (total == 16384 && !twice && !moving) exit 0
      printf "The cluster is not whole and at rest: %d of 16384 slots are owned, %d twice, %d are on the move.\n",
        total, twice, moving >"/dev/stderr"
      exit 1
    }'
}

# The names of the whole snapshots in BACKUP_DIR, latest first: one in the making, or half deleted, has another name.
snapshots() {
  for folder in "$BACKUP_DIR"/*; do
    echo "${folder##*/}"
  done | grep -x '[0-9]\{8\}T[0-9]\{6\}Z' | sort -r
}
