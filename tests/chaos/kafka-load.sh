#!/bin/sh
# Produces to Kafka until /tmp/stop is there, and consumes it all when /tmp/read is. Two producers side by side, both
# with acks=all and idempotence: `events`, one numbered message after the other, and `transactions`, numbers in
# transactions of half a second, 500 a run. A run that ends without an error has committed all of its numbers. The
# consumer reads committed messages only.
#
# KAFKA_BOOTSTRAP_SERVERS, KAFKA_CONSUMER_GROUP and the others as the stack gives them to agents
#
# It ends with these lines:
#   ack TOPIC MILLISECONDS NUMBER COUNT   so many messages were acknowledged then
#   retry TOPIC MILLISECONDS HOW-OFTEN
#   failed TOPIC MILLISECONDS WHY         a producer saw more than retries
#   lost TOPIC NUMBER
#   twice TOPIC NUMBER
set -eu
cd /tmp

{
  echo "security.protocol=${KAFKA_SECURITY_PROTOCOL:-PLAINTEXT}"
  if [ -n "${KAFKA_USERNAME:-}" ]; then
    echo "sasl.mechanism=$KAFKA_SASL_MECHANISM"
    echo "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required" \
      "username=\"$KAFKA_USERNAME\" password=\"$KAFKA_PASSWORD\";"
  fi
  [ -z "${KAFKA_CA_FILE:-}" ] || printf 'ssl.truststore.type=PEM\nssl.truststore.location=%s\n' "$KAFKA_CA_FILE"
} >client.properties
# Enough to outlast a cold start; otherwise the defaults of producers.
cat client.properties - >producer.properties <<PRODUCER
acks=all
enable.idempotence=true
retries=2147483647
delivery.timeout.ms=240000
max.block.ms=240000
transaction.timeout.ms=240000
PRODUCER
cat >log4j2.properties <<LOG
rootLogger.level=warn
rootLogger.appenderRef.err.ref=err
appender.err.type=Console
appender.err.name=err
appender.err.target=SYSTEM_ERR
appender.err.layout.type=PatternLayout
appender.err.layout.pattern=%d %p %m%n
LOG
export LOG_DIR=/tmp/logs KAFKA_HEAP_OPTS=-Xmx64m KAFKA_OPTS=-Dlog4j2.configurationFile=/tmp/log4j2.properties
export KAFKA_JVM_PERFORMANCE_OPTS='-XX:+UseSerialGC -XX:TieredStopAtLevel=1'

# tool NAME ARGUMENTS: one of Kafka's own.
tool() {
  name=$1
  shift
  "/opt/kafka/bin/kafka-$name.sh" --bootstrap-server "$KAFKA_BOOTSTRAP_SERVERS" "$@"
}

now() { echo "$(date +%s)000"; }

events() {
  exec /opt/kafka/bin/kafka-verifiable-producer.sh --bootstrap-server "$KAFKA_BOOTSTRAP_SERVERS" --topic events \
    --command-config producer.properties --throughput 50 --value-prefix "$begin"
}

transactions() {
  run=0
  until [ -e stop ]; do
    if tool producer-perf-test --topic transactions --command-config producer.properties --throughput 50 \
      --num-records 500 --payload-monotonic --transactional-id "$KAFKA_CONSUMER_GROUP.load" --transaction-duration-ms 500 \
      --print-metrics >run.log 2>&1; then
      run=$((run + 1))
      echo "ack transactions $(now) $run 500"
    else
      echo "failed transactions $(now) $(grep -m 1 -e Exception -e Error run.log)"
    fi
    sed -n "s/^producer-metrics:record-retry-total.*: \([1-9][0-9]*\)\..*/retry transactions $(now) \1/p" run.log
  done >transactions.log
}

# consume TOPIC: what was produced to it since the beginning, or since it was consumed before.
consume() {
  tool console-consumer --topic "$1" --group "$KAFKA_CONSUMER_GROUP" --isolation-level read_committed --from-beginning \
    --command-config client.properties --formatter-property print.timestamp=true --timeout-ms 15000 2>"$1.consumer" |
    awk -F '[:\t]' -v begin="${begin}000" '$2 >= begin { sub(/.*[.]/, "", $3); print $3 }' >"$1.found"
}

begin=$(date +%s)
events >events.sent 2>events.err &
producer=$!
transactions &
until grep -q producer_send_success events.sent && [ -s transactions.log ]; do sleep 1; done
: >started
until [ -e stop ]; do sleep 1; done
kill "$producer" # it sends what it has, and ends
wait
until [ -e read ]; do sleep 1; done

sed -n 's/.*"timestamp":\([0-9]*\),"name":"producer_send_success".*"value":"[0-9]*\.\([0-9]*\)".*/ack events \1 \2 1/p' events.sent
sed -n 's/.*"timestamp":\([0-9]*\),"name":"producer_send_error".*"exception":"\(.*\)".*/failed events \1 \2/p' events.sent
echo "retry events $(now) $(grep -c 'retrying (' events.err)"
cat transactions.log
consume events &
consume transactions &
wait
runs=$(grep -c ^ack transactions.log || true)
awk -v runs="$runs" 'BEGIN { for (i = 0; runs && i < 500; i++) expected[i] = runs }
  { found[$1]++ }
  END { for (i in expected) for (n = found[i]; n < runs; n++) print "lost transactions", i
        for (i in found) for (n = found[i]; n > runs; n--) print "twice transactions", i }' transactions.found
sed -n 's/.*producer_send_success.*"value":"[0-9]*[.]\([0-9]*\)".*/\1/p' events.sent | awk '
  FILENAME == "events.found" { found[$1]++; next }
  !($1 in found) { print "lost events", $1 }
  END { for (i in found) for (n = found[i]; n > 1; n--) print "twice events", i }' events.found -
