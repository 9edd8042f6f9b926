#!/bin/sh
# Sourced by the other scripts: `cli HOST:PORT ARGUMENTS...` asks a node, as `_operator` and over TLS where that is on.
#
# REDIS_CLI      redis-cli, the default, or valkey-cli
# REDIS_USER     the user; unset: `default`
# REDISCLI_AUTH  its password, which both programs read by themselves
# REDIS_TLS_DIR  the folder with ca.crt; unset: a plain connection. Neither program compares the name in a certificate.
# CLI_TIMEOUT    seconds that a call may take; unset: any time
cli() {
  address=$1
  shift
  ${CLI_TIMEOUT:+timeout "$CLI_TIMEOUT"} "${REDIS_CLI:-redis-cli}" -h "${address%:*}" -p "${address##*:}" \
    ${REDIS_USER:+--user "$REDIS_USER"} ${REDIS_TLS_DIR:+--tls --cacert "$REDIS_TLS_DIR/ca.crt"} "$@"
}
