#!/bin/sh
# Lets a running node use renewed certificates: Kafka reads its key store again whenever a setting of this one node is
# written, were it with the same value. Runs beside the node for as long as that runs.
#
# KAFKA_HOME                where Kafka is installed
# CONFIG_DIR                folder with client.sh, which has variables of its own
# NODE_ID                   of the node
# CONTROLLER_QUORUM_VOTERS  as in Kafka's configuration
# PROCESS_ROLES             broker, controller or both
# TLS_DIR                   folder with tls.crt, tls.key and ca.crt
# EVERY_SECONDS             how often to look; default 30
set -eu

# shellcheck source=components/kafka/files/client.sh
. "$CONFIG_DIR/client.sh"
store=$scratch/keystore.pem
controllers=$(echo "$CONTROLLER_QUORUM_VOTERS" | sed 's/[0-9]*@//g')

pending=
while sleep "${EVERY_SECONDS:-30}"; do
  cat "$TLS_DIR/tls.key" "$TLS_DIR/tls.crt" >"$store.new"
  if [ -z "$pending" ] && cmp -s "$store.new" "$store"; then continue; fi
  mv "$store.new" "$store"
  pending=yes
  if KAFKA_HEAP_OPTS=-Xmx64m KAFKA_LOG4J_OPTS='' "$KAFKA_HOME/bin/kafka-configs.sh" \
    --bootstrap-controller "$controllers" --command-config "$client" --alter --entity-type brokers \
    --entity-name "$NODE_ID" --add-config "listener.name.${PROCESS_ROLES%%,*}.ssl.keystore.location=$store" </dev/null
  then
    pending=
    echo 'The certificates are renewed.'
  fi
done
