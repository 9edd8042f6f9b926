# From what all nodes say about the cluster to the next steps, one a line:
#   run HOST:PORT COMMAND...   a command for that node
#   wait WHY                   look again a little later
#   refuse WHY                 nothing: a person must decide
#   done WHAT                  the cluster is whole
# Every phase ends the round if it has something to do, so each begins from facts. The last line says how it stands.
# Input, for every node in the order of ordinals: a line `NODE HOST:PORT`, then the replies to DBSIZE, CLUSTER INFO,
# INFO replication and CLUSTER NODES. `shards`: the number of masters there shall be.
# https://redis.io/docs/latest/commands/cluster-nodes/

/^NODE / { host[++n] = $2; next }
/^[0-9]+$/ { keys[n] = $1; next }
/^cluster_state:/ { state[n] = substr($0, 15); next }
/^cluster_slots_ok:/ { slots_ok[n] = substr($0, 18); next }
/^master_host:/ { replicates[n] = substr($0, 13); next }
/^master_port:/ { replicates[n] = replicates[n] ":" substr($0, 13); next }
/^master_link_status:/ { link_status[n] = substr($0, 20); next }

length($1) == 40 && $1 ~ /^[0-9a-f]+$/ && NF >= 8 {
  if ($3 ~ /handshake/) next
  known[n, $1] = $2
  sub(/@.*/, "", known[n, $1])
  linked[n, $1] = ($8 == "connected" && $3 !~ /fail/)
  if ($3 ~ /noaddr/) no_address[n, $1]
  peers[n]++
  slots = ""
  for (i = 9; i <= NF; i++) if ($i !~ /^\[/) slots = slots " " $i # [...] is a slot on the move
  if ($3 ~ /myself/) {
    peers[n]--
    id[n] = $1
    address[n] = known[n, $1]
    own_slots[n] = slots
    master_of[n] = $3 ~ /slave/ ? $4 : ""
    ordinal[$1] = n
  } else if (slots != "") {
    seen_slots[$1] = slots
    seen_address[$1] = known[n, $1]
  }
}

END {
  answered()
  if (safe() && acquainted() && assigned() && replicated()) whole()
}

function answered(   i) {
  for (i = 1; i <= n; i++) {
    if (id[i] == "" || keys[i] == "" || state[i] == "")
      print "wait", host[i], "does not answer yet"
    else if (ordinal[id[i]] != i)
      # An address that was its own until a restart, from some cache of names.
      print "wait", host[i], "still has the address of", host[ordinal[id[i]]]
    else
      continue
    silent[i]
    silence++
  }
}

# Nothing may be joined that would cost keys: neither a node that lost its nodes.conf, nor two separate clusters.
function safe(   i, s, other) {
  for (i = 1; i <= n; i++) if (!peers[i] && keys[i] > 0) {
    print "refuse", host[i], "holds", keys[i], "keys but knows no other node: its nodes.conf is lost. Put nodes.conf" \
      " back, or, if these keys may go, run FLUSHALL and CLUSTER RESET HARD on it; then run this again"
    return 0
  }
  for (i = 1; i <= n; i++) {
    expand(own_slots[i])
    for (s = first; s <= last; s++) if (s in expanded) {
      other = owner[s]
      if (other && !((i, id[other]) in known) && !((other, id[i]) in known)) {
        print "refuse", host[other], "and", host[i], "both own slot", s, "and do not know each other: they are of two" \
          " clusters. Move the keys of one away, run FLUSHALL and CLUSTER RESET HARD on its nodes; then run this again"
        return 0
      }
      owner[s] = i
    }
  }
  return 1
}

# All nodes know all others at their present addresses. The first introduces everyone, the rest is gossip. A node that
# knows another at an old address meets it at the new one, which corrects the address: gossip alone would not, where
# the old address is another node's now. And a replica that learned by gossip where its failed master is still copies
# from the old address, whoever has it now, until it is told again (https://github.com/redis/redis/pull/13572).
# That is all that is done while a node is silent: the others are to serve without it. At most 100 meetings a round:
# gossip helps meanwhile.
function acquainted(   i, j, knows, missing, commands, astray) {
  for (i = 1; i <= n; i++) for (j = 1; j <= n; j++) if (i != j && !(i in silent) && !(j in silent)) {
    knows = (i, id[j]) in known # asked first: reading an element makes it
    if (knows && known[i, id[j]] == address[j]) {
      missing += !linked[i, id[j]]
      if (master_of[i] == id[j] && replicates[i] != "" && replicates[i] != address[j]) {
        print "run", host[i], "cluster replicate", id[j]
        astray++
      }
      continue
    }
    missing++
    if ((knows || (i == 1 && !silence)) && commands++ < 100)
      print "run", host[i], "cluster meet", ip(address[j]), port(address[j])
  }
  if (missing) print "wait", "until all nodes know all others"
  return !missing && !astray && !silence
}

# Each of the first `shards` nodes gets its range, if no node anywhere claims any of it.
function assigned(   i, s, from, to, free, foreign, steps, refusal) {
  for (foreign in seen_slots) {
    if (foreign in ordinal) continue
    expand(seen_slots[foreign])
    for (s = first; s <= last; s++) if ((s in expanded) && !(s in owner)) {
      for (i = 1; i <= n; i++) if (master_of[i] == foreign) {
        # Where another node answers at the lost one's address, Redis never calls it failed.
        if ((i, foreign) in no_address)
          print "refuse", host[i], "follows the lost master", foreign ", whose address is another node's now, so it does" \
            " not take over by itself: run CLUSTER FAILOVER FORCE on it; then run this again"
        else
          print "wait", host[i], "is to take over from its lost master", foreign
        return 0
      }
      print "refuse", "slot", s, "belongs to the node", foreign, "at", seen_address[foreign] ", which is none of these." \
        " Bring it back with its volume; or, if its keys may go, run redis-cli --cluster fix" \
        " --cluster-fix-with-unreachable-masters; then run this again"
      return 0
    }
  }
  for (i = 1; i <= shards; i++) {
    from = int((i - 1) * 16384 / shards)
    to = int(i * 16384 / shards) - 1
    free = 0
    for (s = from; s <= to; s++) if (!(s in owner)) free++
    if (!free) continue
    if (free <= to - from || own_slots[i] != "" || master_of[i] != "") {
      print "refuse", free, "of the slots", from "-" to, "are unassigned, and", host[i], "is not free to take them:" \
        " run redis-cli --cluster fix; then run this again"
      return 0
    }
    steps = steps "run " host[i] " cluster addslotsrange " from " " to "\n"
  }
  printf "%s", steps
  return steps == ""
}

# A node without slots follows the master with the fewest replicas. Where there are fewer masters than shards, the
# first nodes without slots stay empty masters.
function replicated(   i, j, best, empty, steps) {
  for (i = 1; i <= n; i++) {
    if (own_slots[i] != "") masters++
    if (master_of[i] in ordinal) replicas[ordinal[master_of[i]]]++
  }
  empty = shards - masters
  for (i = 1; i <= n; i++) if (own_slots[i] == "" && master_of[i] == "" && empty-- <= 0) {
    best = 0
    for (j = 1; j <= n; j++) if (own_slots[j] != "" && (!best || replicas[j] + 0 < replicas[best] + 0)) best = j
    replicas[best]++
    print "run", host[i], "cluster replicate", id[best]
    steps++
  }
  return !steps
}

function whole(   i, idle) {
  for (i = 1; i <= n; i++) {
    if (state[i] != "ok" || slots_ok[i] != 16384) {
      print "wait", host[i], "sees cluster_state:" state[i], "and", slots_ok[i], "of 16384 slots"
      return
    }
    if (link_status[i] == "down") {
      print "wait", host[i], "copies from its master"
      return
    }
    if (own_slots[i] == "" && master_of[i] == "") idle++
  }
  print "done", masters, "masters,", n - masters - idle, "replicas, 16384 slots" (idle ? "; masters without slots: " \
    idle ", to give them some run redis-cli --cluster rebalance " host[1] " --cluster-use-empty-masters" : "")
}

# Sets `expanded`, and `first` and `last` around it, from a list such as ` 0-99 105`.
function expand(list,   ranges, ends, r, s) {
  split("", expanded)
  first = 16384
  last = -1
  for (r = split(list, ranges, " "); r > 0; r--) {
    if (split(ranges[r], ends, "-") == 1) ends[2] = ends[1]
    for (s = ends[1] + 0; s <= ends[2] + 0; s++) expanded[s]
    if (ends[1] + 0 < first) first = ends[1] + 0
    if (ends[2] + 0 > last) last = ends[2] + 0
  }
}

# The parts of IP:PORT, where the IP may have colons too.
function ip(text) { sub(/:[0-9]+$/, "", text); return text }
function port(text) { sub(/.*:/, "", text); return text }
