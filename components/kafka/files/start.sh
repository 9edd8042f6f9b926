#!/bin/sh
# Becomes one Kafka node: writes its configuration, formats its storage if that is new, and starts it.
#
# KAFKA_HOME                where Kafka is installed
# CONFIG_DIR                folder with server.properties
# DATA_DIR                  the volume
# CLUSTER_ID                22 characters, the same for all nodes, for ever
# POD_NAME                  ends in the pod's ordinal, which gives the node id
# FIRST_NODE_ID             node id of ordinal 0
# PROCESS_ROLES             broker, controller or both
# LISTENERS, ADVERTISED_LISTENERS, CONTROLLER_QUORUM_VOTERS  as in Kafka's configuration
# REPLICATION_FACTOR        copies of every partition, internal topics included
# MIN_INSYNC_REPLICAS       copies that acknowledge a write with acks=all
# Kafka's own scripts read KAFKA_HEAP_OPTS, KAFKA_LOG4J_OPTS, EXTRA_ARGS and LOG_DIR.
set -eu

config=${TMPDIR:-/tmp}/server.properties
{
  cat "$CONFIG_DIR/server.properties"
  cat <<EOF
node.id=$((FIRST_NODE_ID + ${POD_NAME##*-}))
process.roles=$PROCESS_ROLES
listeners=$LISTENERS
advertised.listeners=$ADVERTISED_LISTENERS
controller.quorum.voters=$CONTROLLER_QUORUM_VOTERS
log.dirs=$DATA_DIR/kafka-logs
default.replication.factor=$REPLICATION_FACTOR
min.insync.replicas=$MIN_INSYNC_REPLICAS
offsets.topic.replication.factor=$REPLICATION_FACTOR
transaction.state.log.replication.factor=$REPLICATION_FACTOR
transaction.state.log.min.isr=$MIN_INSYNC_REPLICAS
share.coordinator.state.topic.replication.factor=$REPLICATION_FACTOR
share.coordinator.state.topic.min.isr=$MIN_INSYNC_REPLICAS
EOF
} >"$config"

# The form with `=`: one id in 64 begins with a hyphen.
"$KAFKA_HOME/bin/kafka-storage.sh" format --ignore-formatted --cluster-id="$CLUSTER_ID" --config "$config"
exec "$KAFKA_HOME/bin/kafka-server-start.sh" "$config"
