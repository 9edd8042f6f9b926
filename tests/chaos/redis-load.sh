#!/bin/sh
# Writes keys to Redis until /tmp/stop is there, and reads them all back when /tmp/read is. Two clients side by side, each in batches of
# 50 keys, spread over all shards. `sure` takes a key as acknowledged when a replica has it as well (WAIT 1), and tries
# again until then; `plain` takes the master's OK for an answer.
#
# $1                        redis-cli or valkey-cli
# REDIS_URL, REDIS_CA_FILE  as the stack gives them to agents
#
# It ends with these lines:
#   ack CLIENT MILLISECONDS NUMBER COUNT   a batch with that number of keys was acknowledged then
#   retry CLIENT MILLISECONDS 1 WHY
#   lost CLIENT NUMBER KEY
set -eu
cd /tmp
command=$1

# cli SECONDS: the commands of its input, each sent on to the node that has the key.
cli() {
  timeout "$1" "$command" --no-auth-warning -c -u "$REDIS_URL" ${REDIS_CA_FILE:+--cacert "$REDIS_CA_FILE"} 2>&1 |
    grep -v '^-> Redirected' || true
}

now() { date +%s%3N; }

# The keys and values of a batch, a pair a line. 64 tags reach every shard.
batch() { seq 50 | sed "s/.*/conversation:{$1$(($2 % 64))}:$2:& $1-$2-&/"; }

writer() {
  wait=
  [ "$1" = plain ] || wait='\nWAIT 1 1000'
  number=0
  while [ ! -e stop ]; do
    number=$((number + 1))
    batch "$1" "$number" | sed "s/.*/SET & EX 7200$wait/" >"$1.batch"
    until
      cli 3 <"$1.batch" >"$1.reply"
      [ "$(grep -c -x -e OK -e '[1-9]' "$1.reply")" -eq "$(wc -l <"$1.batch")" ]
    do
      echo "retry $1 $(now) 1 $(grep -v -x -e OK -e '[1-9]' -e '' -m 1 "$1.reply" || echo silence)" >>"$1.log"
      sleep 0.2
    done
    echo "ack $1 $(now) $number 50" >>"$1.log"
    : >started
  done
}

verify() {
  awk '$1 == "ack" { print $4 % 64, $4 }' "$1.log" | sort -n | while read -r _ number; do batch "$1" "$number"; done >"$1.expected"
  until # an error is one line, where 50 values would be
    awk '{ printf "%s%s%s", (NR % 50 == 1 ? "MGET " : " "), $1, (NR % 50 ? "" : "\n") }' "$1.expected" | cli 60 >"$1.found"
    [ "$(wc -l <"$1.found")" -eq "$(wc -l <"$1.expected")" ]
  do sleep 1; done
  paste -d ' ' "$1.expected" "$1.found" | awk -v client="$1" '$2 != $3 { split($2, of, "-"); print "lost", client, of[2], $1 }'
}

writer plain &
writer sure
wait
: >stopped
until [ -e read ]; do sleep 1; done
cat plain.log sure.log
verify plain
verify sure
