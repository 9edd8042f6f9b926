#!/bin/sh
# Sourced by the scripts that run Kafka's tools, and by start.sh: writes client.properties, which logs in as _operator.
# `tool SCRIPT ARGUMENTS...` then runs one of Kafka's scripts with it against the brokers.
#
# SECURITY_PROTOCOL  PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
# OPERATOR_PASSWORD  with SASL
# TLS_DIR            with SSL: folder with ca.crt
# TMPDIR             a writable folder; default /tmp
# KAFKA_HOME, BOOTSTRAP_SERVERS  for `tool`: where Kafka is installed, and host:port of a broker

scratch=${TMPDIR:-/tmp}
client=$scratch/client.properties
plain_login=org.apache.kafka.common.security.plain.PlainLoginModule

# The files hold passwords.
umask 077
{
  echo "security.protocol=$SECURITY_PROTOCOL"
  # One JVM that waits for Kafka instead of one JVM an attempt.
  echo 'default.api.timeout.ms=120000'
  case $SECURITY_PROTOCOL in SASL_*)
    echo 'sasl.mechanism=PLAIN'
    echo "sasl.jaas.config=$plain_login required username=\"_operator\" password=\"$OPERATOR_PASSWORD\";"
    ;;
  esac
  case $SECURITY_PROTOCOL in *SSL)
    echo 'ssl.truststore.type=PEM'
    echo "ssl.truststore.location=$TLS_DIR/ca.crt"
    ;;
  esac
} >"$client"

tool() {
  script=$1
  shift
  "$KAFKA_HOME/bin/$script" --bootstrap-server "$BOOTSTRAP_SERVERS" --command-config "$client" "$@" </dev/null
}
