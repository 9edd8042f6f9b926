#!/bin/sh
# Becomes one Kafka node: writes its configuration, formats its storage if that is new, and starts it.
#
# KAFKA_HOME                where Kafka is installed
# CONFIG_DIR                folder with server.properties and the scripts
# DATA_DIR                  the volume
# CLUSTER_ID                22 characters, the same for all nodes, for ever
# POD_NAME                  ends in the pod's ordinal, which gives the node id
# FIRST_NODE_ID             node id of ordinal 0
# PROCESS_ROLES             broker, controller or both
# LISTENERS, ADVERTISED_LISTENERS, CONTROLLER_QUORUM_VOTERS  as in Kafka's configuration
# ZONE                      where the node is; may be empty
# REPLICATION_FACTOR        copies of every partition, internal topics included
# MIN_INSYNC_REPLICAS       copies that acknowledge a write with acks=all
# SECURITY_PROTOCOL         PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
# BROKER_PASSWORD, OPERATOR_PASSWORD  with SASL: letters and digits
# TLS_DIR                   with SSL: folder with tls.crt, tls.key and ca.crt
# Kafka's own scripts read KAFKA_HEAP_OPTS, KAFKA_LOG4J_OPTS, EXTRA_ARGS and LOG_DIR.
set -eu

# shellcheck source=components/kafka/files/client.sh
. "$CONFIG_DIR/client.sh"
config=$scratch/server.properties
NODE_ID=$((FIRST_NODE_ID + ${POD_NAME##*-}))

{
  cat "$CONFIG_DIR/server.properties"
  cat <<END
node.id=$NODE_ID
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
listener.security.protocol.map=BROKER:$SECURITY_PROTOCOL,CONTROLLER:$SECURITY_PROTOCOL
END
  if [ -n "${ZONE:-}" ]; then echo "broker.rack=$ZONE"; fi
  # Nodes and the stack's tools log in with PLAIN, whose passwords are in this file: SCRAM's are in the metadata, which
  # the controllers cannot read before they have logged in to each other. Agents log in with SCRAM.
  case $SECURITY_PROTOCOL in SASL_*)
    login="$plain_login required username=\"_broker\" password=\"$BROKER_PASSWORD\""
    cat <<END
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.broker.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.broker.plain.sasl.jaas.config=$login user__broker="$BROKER_PASSWORD" user__operator="$OPERATOR_PASSWORD";
listener.name.controller.plain.sasl.jaas.config=$login user__broker="$BROKER_PASSWORD" user__operator="$OPERATOR_PASSWORD";
listener.name.broker.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:_broker;User:_operator
END
    ;;
  esac
  case $SECURITY_PROTOCOL in *SSL)
    cat <<END
ssl.keystore.type=PEM
ssl.keystore.location=$scratch/keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location=$TLS_DIR/ca.crt
END
    ;;
  esac
} >"$config"

case $SECURITY_PROTOCOL in *SSL)
  if ! grep -q '^-----BEGIN PRIVATE KEY-----' "$TLS_DIR/tls.key"; then
    echo 'tls.key is not a PKCS #8 key, the only form that Kafka reads: convert it with: openssl pkcs8 -topk8 -nocrypt' >&2
    exit 1
  fi
  cat "$TLS_DIR/tls.key" "$TLS_DIR/tls.crt" >"$scratch/keystore.pem"
  export NODE_ID
  /bin/sh "$CONFIG_DIR/renew.sh" &
  ;;
esac

# The form with `=`: one id in 64 begins with a hyphen.
"$KAFKA_HOME/bin/kafka-storage.sh" format --ignore-formatted --cluster-id="$CLUSTER_ID" --config "$config"
exec "$KAFKA_HOME/bin/kafka-server-start.sh" "$config"
