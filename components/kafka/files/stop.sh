#!/bin/sh
# Runs before a broker is told to end: waits while a partition that it keeps in sync lacks another copy, as after the
# restart of the broker before it. Otherwise that partition could fall below min.insync.replicas and refuse writes.
#
# KAFKA_HOME         where Kafka is installed
# BOOTSTRAP_SERVERS  host:port of a broker
# FIRST_NODE_ID, POD_NAME  give the node id, as in start.sh
# WAIT_SECONDS       end all the same after this long
set -eu

scratch=${TMPDIR:-/tmp}
id=$((FIRST_NODE_ID + ${POD_NAME##*-}))
deadline=$(($(date +%s) + WAIT_SECONDS))

while [ "$(date +%s)" -lt "$deadline" ]; do
  if lacking=$(KAFKA_HEAP_OPTS=-Xmx64m KAFKA_LOG4J_OPTS='' "$KAFKA_HOME/bin/kafka-topics.sh" \
    --bootstrap-server "$BOOTSTRAP_SERVERS" --command-config "$scratch/client.properties" \
    --describe --under-replicated-partitions </dev/null 2>&1)
  then
    echo "$lacking" | grep -Eq "Isr: ([0-9]+,)*$id(,|[^0-9,]|\$)" || exit 0
  fi
  sleep 1
done
