# Reads the declared topics, a line each: name, partitions, cleanup.policy, retention.ms (-1: for ever), and then what
# `kafka-topics.sh --describe` prints, and prints what to do:
#   create|grow|configure TOPIC PARTITIONS CLEANUP RETENTION, or: refuse TOPIC: the reason and the mend
# A topic that is not declared is left alone.

BEGIN {
  FS = "\t"
  kept[2] = "every message"
  kept[1] = "the last message of each key"
}

NR == FNR { declared[NR] = $0; count_declared = NR; next }

/^Topic: / {
  name = substr($1, length("Topic: ") + 1)
  for (field = 2; field <= NF; field++) {
    split($field, pair, ": ")
    if (pair[1] == "PartitionCount") partitions[name] = pair[2]
    if (pair[1] == "ReplicationFactor") copies[name] = pair[2]
    if (pair[1] == "Configs") configs(name, pair[2])
  }
}

# `a=1,b=x,y,c=2`: a part without `=` belongs to the value before it.
function configs(name, text,    parts, number, i, key) {
  number = split(text, parts, ",")
  for (i = 1; i <= number; i++) {
    if (index(parts[i], "=")) {
      key = substr(parts[i], 1, index(parts[i], "=") - 1)
      config[name, key] = substr(parts[i], index(parts[i], "=") + 1)
    } else {
      config[name, key] = config[name, key] "," parts[i]
    }
  }
}

END {
  for (i = 1; i <= count_declared; i++) {
    if (split(declared[i], want, " ") == 4) compare(want[1], want[2], want[3], want[4])
  }
}

function compare(name, count, cleanup, retention,    rest) {
  rest = name " " count " " cleanup " " retention
  if (!(name in partitions)) {
    print "create " rest
    return
  }
  if (count + 0 < partitions[name] + 0)
    print "refuse " name ": it has " partitions[name] " partitions and " count " are declared, but Kafka cannot take" \
      " partitions away: declare at least " partitions[name] ", or a topic of another name"
  if (count + 0 > partitions[name] + 0) print "grow " rest
  if (copies[name] != ENVIRON["REPLICATION_FACTOR"])
    print "refuse " name ": it has " copies[name] " copies of every partition and " ENVIRON["REPLICATION_FACTOR"] \
      " are declared: move them with kafka-reassign-partitions.sh first"
  if (keeps(config[name, "cleanup.policy"], config[name, "retention.ms"], config[name, "retention.bytes"]) \
      > keeps(cleanup, retention, -1))
    print "refuse " name ": it keeps " kept[keeps(config[name, "cleanup.policy"], config[name, "retention.ms"], -1)] \
      " for ever and is declared with cleanup.policy=" cleanup " and retention.ms=" retention ", which deletes what it" \
      " holds: declare it as it was, or first give it these settings by hand with kafka-configs.sh"
  if (config[name, "cleanup.policy"] != cleanup || config[name, "retention.ms"] != retention \
      || config[name, "retention.bytes"] != "-1" || config[name, "min.insync.replicas"] != ENVIRON["MIN_INSYNC_REPLICAS"])
    print "configure " rest
}

# What a topic with these settings keeps for ever: 2 every message, 1 the last message of each key, 0 nothing.
function keeps(cleanup, retention, bytes) {
  if (cleanup == "compact") return 1
  if (retention != "-1" || (bytes != "" && bytes != "-1")) return 0
  return cleanup ~ /compact/ ? 1 : 2
}
