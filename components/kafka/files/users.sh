#!/bin/sh
# Makes users and ACLs as declared: sets every password, looks what is there, lets users.awk say what differs, and
# changes that, until nothing does. Each Kafka tool is a JVM that takes seconds to start, so ACLs are changed by the
# dozen; passwords cannot be read from Kafka, and are set one by one. Safe to kill and to repeat.
#
# KAFKA_HOME         where Kafka is installed
# CONFIG_DIR         folder with the scripts and the file acls: what may be done, as users.awk reads it
# AUTH_DIR           folder with the file users: a line per user, name and password
# BOOTSTRAP_SERVERS  host:port of a broker
# TIMEOUT_SECONDS    give up after this long; default 300
# and the variables of client.sh.
#
# Exit codes: 0 users and ACLs are as declared; 1 not in time, try again.
set -euf
trap 'exit 1' TERM INT

# shellcheck source=components/kafka/files/client.sh
. "$CONFIG_DIR/client.sh"
plan=$scratch/users-plan
deadline=$(($(date +%s) + ${TIMEOUT_SECONDS:-300}))
cp "$CONFIG_DIR/acls" "$scratch/wanted-acls"
USERS=$(cut -d' ' -f1 "$AUTH_DIR/users")
export USERS

# From a file, since arguments can be seen.
set_passwords() {
  while read -r user password; do
    echo "SCRAM-SHA-512=password=$password" >"$scratch/credential.properties"
    tool kafka-configs.sh --alter --entity-type users --entity-name "$user" \
      --add-config-file "$scratch/credential.properties" || return 1
  done <"$AUTH_DIR/users"
}

look() {
  tool kafka-configs.sh --describe --entity-type users >"$scratch/users" && tool kafka-acls.sh --list >"$scratch/acls" &&
    awk -f "$CONFIG_DIR/users.awk" "$scratch/wanted-acls" "$scratch/users" "$scratch/acls" >"$plan"
}

change() {
  while read -r action user operation pattern resources; do
    case $action in
      remove-user)
        tool kafka-configs.sh --alter --entity-type users --entity-name "$user" --delete-config SCRAM-SHA-512 || return 1
        ;;
      add | remove)
        # shellcheck disable=SC2086 # the resources are words of their own
        tool kafka-acls.sh "--$action" --force --allow-principal "User:$user" --operation "$operation" \
          --resource-pattern-type "$pattern" $resources || return 1
        ;;
    esac
  done <"$plan"
}

set=
while :; do
  pause=3
  if [ -z "$set" ] && set_passwords; then set=yes; fi
  if [ -n "$set" ] && look; then
    if [ ! -s "$plan" ]; then
      echo 'All users and ACLs are as declared.'
      exit 0
    fi
    if change; then pause=0; fi
  fi
  [ "$(date +%s)" -lt "$deadline" ] || exit 1
  sleep "$pause"
done
