#!/bin/sh
# Makes the topics as declared: look at all of them, let topics.awk say what differs, change that, look again. Each
# Kafka tool is a JVM that takes seconds to start, so nothing is asked topic by topic. Safe to kill and to repeat.
#
# KAFKA_HOME           where Kafka is installed
# CONFIG_DIR           folder with the scripts and the file topics: a line per topic, as topics.awk reads it
# BOOTSTRAP_SERVERS    host:port of a broker
# REPLICATION_FACTOR   copies of every partition
# MIN_INSYNC_REPLICAS  copies that acknowledge a write with acks=all
# TIMEOUT_SECONDS      give up after this long; default 300
# and the variables of client.sh.
#
# Exit codes: 0 all topics are as declared; 1 not in time, try again; 2 refused: a person must decide.
set -eu
trap 'exit 1' TERM INT

# shellcheck source=components/kafka/files/client.sh
. "$CONFIG_DIR/client.sh"
state=$scratch/topics-state plan=$scratch/topics-plan
deadline=$(($(date +%s) + ${TIMEOUT_SECONDS:-300}))

look() {
  tool kafka-topics.sh --describe --exclude-internal >"$state" &&
    awk -f "$CONFIG_DIR/topics.awk" "$CONFIG_DIR/topics" "$state" >"$plan"
}

change() {
  while read -r action topic partitions cleanup retention; do
    case $action in
      create)
        tool kafka-topics.sh --create --if-not-exists --topic "$topic" --partitions "$partitions" \
          --replication-factor "$REPLICATION_FACTOR" --config "cleanup.policy=$cleanup" \
          --config "retention.ms=$retention" --config retention.bytes=-1 \
          --config "min.insync.replicas=$MIN_INSYNC_REPLICAS" || return 1
        ;;
      grow)
        tool kafka-topics.sh --alter --topic "$topic" --partitions "$partitions" || return 1
        echo "Grew topic $topic to $partitions partitions."
        ;;
      configure)
        settings="cleanup.policy=[$cleanup],retention.ms=$retention,retention.bytes=-1"
        tool kafka-configs.sh --alter --entity-type topics --entity-name "$topic" \
          --add-config "$settings,min.insync.replicas=$MIN_INSYNC_REPLICAS" || return 1
        ;;
    esac
  done <"$plan"
}

while :; do
  pause=3
  if look; then
    if grep -q '^refuse ' "$plan"; then
      sed -n 's/^refuse /Refused: topic /p' "$plan" >&2
      echo 'Nothing was changed.' >&2
      exit 2
    fi
    if [ ! -s "$plan" ]; then
      echo 'All topics are as declared.'
      exit 0
    fi
    if change; then pause=0; fi
  fi
  [ "$(date +%s)" -lt "$deadline" ] || exit 1
  sleep "$pause"
done
