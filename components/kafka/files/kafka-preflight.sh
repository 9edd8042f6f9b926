#!/bin/sh
# Tries an external Kafka as agents will use it, and says in a line each what is wrong and what mends it.
#
# KAFKA_HOME        where Kafka is installed
# KAFKA_BOOTSTRAP_SERVERS, KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_MECHANISM, KAFKA_USERNAME, KAFKA_PASSWORD, KAFKA_CA_FILE
#                   as agents get them
# CONSUMES          what agents consume, a line each: group, topic
# PRODUCES          the topics that agents produce, a line each
# TIMEOUT_SECONDS   give up after this long on what may pass by itself; default 60
#
# Nothing is written and no group is joined, so two things are not found out: a topic that the user may describe but not
# write to, if there is another to which it may; and a group that it may describe but not read with.
#
# Exit codes: 0 agents can work with it; 1 not in time; 2 a person must decide. The password is never printed.
set -eu
trap 'exit 1' TERM INT

scratch=${TMPDIR:-/tmp}
said=$scratch/said agents=$scratch/agents.properties stranger=$scratch/stranger.properties
deadline=$(($(date +%s) + ${TIMEOUT_SECONDS:-60}))
# What tells mistakes apart is in the log of Kafka's clients. Without a file to configure it, it goes to the console.
export KAFKA_LOG4J_OPTS=-Dlog4j2.level=INFO

refuse() {
  echo "kafka.external$*" >&2
  exit 2
}

# For mistakes that do not hide others: all are said at the end.
problems=
problem() {
  problems="${problems}kafka.external$*
"
}

# properties PROTOCOL MECHANISM USER PASSWORD: the configuration of a client.
properties() {
  echo "security.protocol=$1"
  echo 'default.api.timeout.ms=10000'
  echo 'request.timeout.ms=5000'
  if [ -n "${KAFKA_CA_FILE:-}" ]; then
    echo 'ssl.truststore.type=PEM'
    echo "ssl.truststore.location=$KAFKA_CA_FILE"
  fi
  case $1 in SASL_*) ;; *) return ;; esac
  case $2 in PLAIN) module=plain.PlainLoginModule ;; *) module=scram.ScramLoginModule ;; esac
  printf 'sasl.mechanism=%s\nsasl.jaas.config=org.apache.kafka.common.security.%s required username="%s" password="%s";\n' \
    "$2" "$module" "$(escaped "$3")" "$(escaped "$4")"
}

# Once for the quoted text of JAAS, and once for the file around it.
escaped() { printf '%s' "$1" | sed -e 's/[\\"]/\\&/g' -e 's/\\/\\\\/g'; }

# tool CONFIGURATION SCRIPT ARGUMENTS...: runs one of Kafka's tools; what it says goes to the file `said`.
tool() {
  configuration=$1 script=$2
  shift 2
  timeout 60 "$KAFKA_HOME/bin/$script" --bootstrap-server "$KAFKA_BOOTSTRAP_SERVERS" \
    --command-config "$configuration" "$@" >"$said" 2>&1
}

heard() { grep -Eq "$1" "$said"; }

# From here on: status 1, with the reason in `waiting`, for what may pass by itself.
waiting=

# Whether a broker listens. Kafka's tools do not say why they reach none; of the image's shells, bash can try.
reach() {
  waiting=
  for broker in $(echo "$KAFKA_BOOTSTRAP_SERVERS" | tr ',' ' '); do
    # shellcheck disable=SC2016 # bash expands it
    if why=$(timeout 5 bash -c ': <"/dev/tcp/$0/$1"' "${broker%:*}" "${broker##*:}" 2>&1); then return 0; fi
    case $why in
      *refused*) why='connection refused' ;;
      *'not known'* | *resol* | *'ry again'* | *'Invalid argument'*) why='its name cannot be resolved' ;;
      *unreachable* | *'No route'*) why='no route to it' ;;
      *) why='no answer within 5 s' ;;
    esac
    waiting="${waiting:+$waiting, }$broker ($why)"
  done
  waiting=".brokers: cannot reach $waiting: check host, port, and that \`network\` holds the addresses"
  return 1
}

# What the listener speaks, by how it takes a login of nobody's; empty if that does not tell.
spoken() {
  for encryption in SSL PLAINTEXT; do
    properties "SASL_$encryption" PLAIN preflight preflight >"$stranger"
    tool "$stranger" kafka-topics.sh --list || :
    if heard 'SaslAuthenticationException|UnsupportedSaslMechanismException'; then
      echo "SASL_$encryption"
    elif heard 'IllegalSaslStateException'; then
      echo "$encryption"
    elif heard 'PKIX path|CertificateException'; then
      echo 'SSL or SASL_SSL'
    else
      continue
    fi
    return
  done
}

# Lists the topics that the user may see in the file `said`.
log_in() {
  if tool "$agents" kafka-topics.sh --list; then return 0; fi
  if heard 'UnsupportedSaslMechanismException'; then
    offered=$(sed -n 's/.*enabled mechanisms are \[\([^]]*\)\].*/\1/p' "$said" | head -n 1)
    refuse ".authentication.mechanism: the brokers do not take $KAFKA_SASL_MECHANISM: write one that they take: $offered"
  elif heard 'SaslAuthenticationException'; then
    refuse '.authentication: the brokers refuse the user or its password: correct the Secret'
  elif heard 'No subject alternative|No name matching'; then
    refuse '.brokers: the certificate is not for the name by which clients call the broker: write the name that it is for'
  elif heard 'PKIX path|CertificateExpired'; then
    by=${KAFKA_CA_FILE:+that authority}
    refuse ".tls.ca: the brokers' certificate has expired, or is not signed by ${by:-a public authority}: name the one" \
      'that signed it'
  fi
  cp "$said" "$said.first"
  protocol=$(spoken)
  if [ -n "$protocol" ] && [ "$protocol" != "$KAFKA_SECURITY_PROTOCOL" ]; then
    refuse ": the brokers speak $protocol on this port, and agents would speak $KAFKA_SECURITY_PROTOCOL: let \`tls\`" \
      "and \`authentication\` agree with that, or check the port"
  fi
  # The brokers in the list have negative numbers, those that they name have others.
  node=$(sed -n 's/.*onnect[a-z]* to node [0-9][0-9]* (\([^)]*\)) could not be established.*/\1/p
    s/.*Error connecting to node \([^ ]*\) (id: [0-9].*/\1/p' "$said.first" | head -n 1)
  if [ -n "$node" ]; then
    waiting=".network: the brokers send clients on to $node, which cannot be reached: check that \`network\` holds every"
    waiting="$waiting broker, and that all listen on a port of \`brokers\`"
  else
    waiting=': the brokers accept connections and answer nothing within 10 s: see to them, or wait'
  fi
  return 1
}

check_topics() {
  cp "$said" "$said.topics"
  missing=
  for topic in $( (echo "$CONSUMES" | cut -d ' ' -f 2; echo "$PRODUCES") | sort -u); do
    grep -Fqx "$topic" "$said.topics" && continue
    missing="$missing $topic "
    problem ": topic $topic does not exist, or the user may not describe it: create it, or grant the user its rights"
  done
  for topic in $(echo "$CONSUMES" | cut -d ' ' -f 2 | sort -u); do
    case $missing in *" $topic "*) continue ;; esac
    # The formatter keeps the message out of `said`.
    tool "$agents" kafka-console-consumer.sh --topic "$topic" --partition 0 --offset earliest --max-messages 1 \
      --timeout-ms 3000 --formatter org.apache.kafka.tools.consumer.NoOpMessageFormatter || :
    if heard 'TopicAuthorizationException'; then
      problem ": the user may not read topic $topic: grant it Read"
    fi
  done
}

check_groups() {
  for group in $(echo "$CONSUMES" | cut -d ' ' -f 1 | sort -u); do
    tool "$agents" kafka-consumer-groups.sh --describe --state --group "$group" || :
    if heard 'GroupAuthorizationException'; then
      problem ": the user may not use consumer group $group, the agent's of that name: grant it Read"
    fi
  done
}

# A producer asks for an id before it sends anything, and who may write to no topic gets none.
check_writing() {
  [ -n "$PRODUCES" ] || return 0
  : >"$said"
  {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
      if heard 'ProducerId set to|AuthorizationException'; then break; fi
      sleep 1
    done
  } | tool "$agents" kafka-console-producer.sh --topic "$(echo "$PRODUCES" | head -n 1)" || :
  if heard 'AuthorizationException'; then
    problem ': the user may write to no topic: grant it Write to those that agents produce'
  fi
}

umask 077
properties "$KAFKA_SECURITY_PROTOCOL" "${KAFKA_SASL_MECHANISM:-}" "${KAFKA_USERNAME:-}" "${KAFKA_PASSWORD:-}" >"$agents"
until reach && log_in; do
  if [ "$(date +%s)" -ge "$deadline" ]; then
    echo "kafka.external$waiting" >&2
    exit 1
  fi
  sleep 2
done
check_topics
check_groups
check_writing
if [ -n "$problems" ]; then
  printf '%s' "$problems" >&2
  exit 2
fi
echo "kafka.external: $KAFKA_BOOTSTRAP_SERVERS is as declared, with every topic and group of the agents"
