# From what all nodes say about the cluster to the next steps, one a line:
#   run HOST:PORT COMMAND...             a command for that node
#   move SLOT IP:PORT ID IP:PORT ID      what is left of that slot from the first node, with its id, to the second
#   reshard IP:PORT FROM TO COUNT        so many slots from one id to another; any node may be asked
#   wait WHY                             look again a little later
#   refuse WHY                           nothing: a person must decide
#   done WHAT                            the cluster is whole
# Every phase ends the round if it has something to do, so each begins from facts. The last line says how it stands.
# Input, for every node in the order of ordinals: a line `NODE HOST:PORT`, then the replies to DBSIZE, CLUSTER INFO,
# INFO replication, CONFIG GET cluster-announce-human-nodename and CLUSTER NODES; with `thorough` set, also a line
# `keys_in_slots: SLOT...` of the slots it has keys of. `shards`: the number of masters there shall be.
# https://redis.io/docs/latest/commands/cluster-nodes/

/^NODE / { host[++n] = place[n] = $2; next }
/^[0-9]+$/ { keys[n] = $1; next }
/^cluster_state:/ { state[n] = substr($0, 15); next }
/^cluster_slots_ok:/ { slots_ok[n] = substr($0, 18); next }
/^master_host:/ { replicates[n] = substr($0, 13); next }
/^master_port:/ { replicates[n] = replicates[n] ":" substr($0, 13); next }
/^master_link_status:/ { link_status[n] = substr($0, 20); next }
/^keys_in_slots:/ { slots_with_keys[n] = substr($0, 15); next }
# The value is on the next line: the Kubernetes node, where pods announce it.
/^cluster-announce-human-nodename$/ { if ((getline) > 0 && $0 != "") place[n] = $0; next }

length($1) == 40 && $1 ~ /^[0-9a-f]+$/ && NF >= 8 {
  if ($3 ~ /handshake/) next
  known[n, $1] = $2
  sub(/@.*/, "", known[n, $1])
  linked[n, $1] = ($8 == "connected" && $3 !~ /fail/)
  if ($3 ~ /noaddr/) no_address[n, $1]
  peers[n]++
  slots = ""
  for (i = 9; i <= NF; i++) {
    if ($i !~ /^\[/) slots = slots " " $i
    else if (split($i, mark, /[][<>-]+/) > 2) { # a slot on the move: [93->-ID] to that node, or [93-<-ID] from it
      if ($i ~ />/) moving_to[n, mark[2]] = mark[3]
      else moving_from[n, mark[2]] = mark[3]
      marked[mark[2]]
    }
  }
  told[n, $1] = slots
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
  if (safe() && acquainted() && assigned() && agreed() && settled() && replicated() && in_step() && balanced())
    print "done", masters, "masters,", n - masters, "replicas, 16384 slots" note
}

function answered(   i) {
  for (i = 1; i <= n; i++) {
    if (id[i] == "" || keys[i] == "" || state[i] == "")
      print "wait", host[i], "does not answer yet"
    else if (ordinal[id[i]] != i)
      # An address that was its own until a restart, from some cache of names.
      print "wait", host[i], "still has the address of", host[ordinal[id[i]]]
    else if (thorough && !(i in slots_with_keys))
      print "wait", host[i], "does not say of which slots it has keys"
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
      " back, or, if these keys may go, run FLUSHALL and CLUSTER RESET HARD on it"
    return 0
  }
  for (i = 1; i <= n; i++) {
    expand(own_slots[i])
    for (s = first; s <= last; s++) if (s in expanded) {
      other = owner[s]
      if (other && !((i, id[other]) in known) && !((other, id[i]) in known)) {
        print "refuse", host[other], "and", host[i], "both own slot", s, "and do not know each other: they are of two" \
          " clusters. Move the keys of one away, run FLUSHALL and CLUSTER RESET HARD on its nodes"
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

# Each of so many nodes gets its range, if no node anywhere claims any of it.
function assigned(   i, s, from, to, free, foreign, node, steps) {
  for (foreign in seen_slots) {
    if (foreign in ordinal) continue
    expand(seen_slots[foreign])
    for (s = first; s <= last; s++) if ((s in expanded) && !(s in owner)) {
      for (i = 1; i <= n; i++) if (master_of[i] == foreign) {
        # Where another node answers at the lost one's address, Redis never calls it failed.
        if ((i, foreign) in no_address)
          print "refuse", host[i], "follows the lost master", foreign ", whose address is another node's now, so it" \
            " does not take over by itself: run CLUSTER FAILOVER FORCE on it"
        else
          print "wait", host[i], "is to take over from its lost master", foreign
        return 0
      }
      print "refuse", "slot", s, "belongs to the node", foreign, "at", seen_address[foreign] ", which is none of" \
        " these. Bring it back with its volume; or, if its keys may go, run redis-cli --cluster fix" \
        " --cluster-fix-with-unreachable-masters"
      return 0
    }
  }
  for (i = 1; i <= shards; i++) {
    from = int((i - 1) * 16384 / shards)
    to = int(i * 16384 / shards) - 1
    free = 0
    for (s = from; s <= to; s++) if (!(s in owner)) free++
    if (!free) continue
    node = free > to - from ? spare() : 0
    if (!node) {
      print "refuse", free, "of the slots", from "-" to, "are unassigned, and no node is free to take them:" \
        " run redis-cli --cluster fix"
      return 0
    }
    steps = steps "run " host[node] " cluster addslotsrange " from " " to "\n"
  }
  printf "%s", steps
  return steps == ""
}

# All nodes say the same about the owners of slots.
function agreed(   i, j) {
  for (i = 1; i <= n; i++) for (j = 1; j <= n; j++) if (told[i, id[j]] != own_slots[j]) {
    print "wait", "until", host[i], "has heard which slots", host[j], "has"
    return 0
  }
  return 1
}

# A slot whose move was cut short has keys on two nodes. The move is finished, with both nodes' marks set again, which
# lead clients to every key meanwhile. A failover may have lost the marks: then keys on a node without the slot tell.
# Not by `redis-cli --cluster fix`: it takes the marks away first, and clients write anew what they do not find.
function settled(   i, s, from, to, steps) {
  for (i = 1; i <= n; i++) if (master_of[i] == "") {
    expand(slots_with_keys[i])
    for (s = first; s <= last; s++) if ((s in expanded) && owner[s] != i) marked[s] = i
  }
  for (s in marked) {
    from = owner[s]
    to = marked[s]
    if ((from, s) in moving_to && moving_to[from, s] in ordinal) {
      to = ordinal[moving_to[from, s]]
      if (master_of[to] in ordinal) to = ordinal[master_of[to]] # it handed over meanwhile
    }
    for (i = 1; i <= n && !to; i++) if (i != from && master_of[i] == "" && (i, s) in moving_from) to = i
    if (to && to != from) {
      print "move", s, address[from], id[from], address[to], id[to]
      steps++
    } else for (i = 1; i <= n; i++) if ((i, s) in moving_from || (i, s) in moving_to) {
      # Valkey sets marks on replicas first, so one may be left with a mark alone; its master passes the command on.
      print "run", host[master_of[i] in ordinal ? ordinal[master_of[i]] : i], "cluster setslot", s, "stable"
      steps++
    }
  }
  return !steps
}

# A node without slots, or whose master is a replica by now, follows the master with the fewest replicas; of these, one
# with the fewest nodes of its shard on the same Kubernetes node. Where there are fewer masters than shards, some nodes
# become masters without slots instead.
function replicated(   i, j, best, added, steps) {
  for (i = 1; i <= n; i++) if (own_slots[i] != "") chosen[i]
  for (i in chosen) masters++
  while (masters < shards && spare()) masters++
  for (i = 1; i <= n; i++) {
    if (i in chosen) beside[i, place[i]]++
    else if (followed(i)) follow(i, followed(i), 1)
  }
  for (i = 1; i <= n; i++) if (!(i in chosen) && !followed(i)) {
    best = 0
    for (j = 1; j <= n; j++) if (j in chosen)
      if (!best || less(replicas[j], replicas[best], beside[j, place[i]], beside[best, place[i]])) best = j
    follow(i, best, 1)
    added[i]
  }
  # The last ones had little choice: where two change masters and both are better off, they do.
  for (i = 1; i <= n; i++) for (j = 1; j <= n; j++) if (i in added && j in added && beside[leader[i], place[i]] > 1 &&
      !beside[leader[i], place[j]] && !beside[leader[j], place[i]]) {
    best = leader[j]
    follow(j, best, -1)
    follow(i, leader[i], -1)
    follow(j, leader[i], 1)
    follow(i, best, 1)
  }
  for (i = 1; i <= n; i++) if (i in added) {
    print "run", host[i], "cluster replicate", id[leader[i]]
    steps++
  }
  return !steps
}

# The master that a node follows; none if that follows another itself, which Redis does not mend.
function followed(i,   master) {
  master = master_of[i] in ordinal ? ordinal[master_of[i]] : 0
  return master && master_of[master] == "" ? master : 0
}

function follow(i, master, count) {
  leader[i] = master
  replicas[master] += count
  beside[master, place[i]] += count
}

# Chooses one more master, if a node neither owns slots nor follows another: first one that others follow already, then
# one on the Kubernetes node with the fewest masters.
function spare(   i, best, crowd, followers) {
  for (i = 1; i <= n; i++) {
    if (own_slots[i] != "" || i in chosen) crowd[place[i]]++
    if (master_of[i] in ordinal) followers[ordinal[master_of[i]]]++
  }
  for (i = 1; i <= n; i++) if (own_slots[i] == "" && master_of[i] == "" && !(i in chosen))
    if (!best || less(-followers[i], -followers[best], crowd[place[i]], crowd[place[best]])) best = i
  if (best) chosen[best]
  return best
}

function in_step(   i) {
  for (i = 1; i <= n; i++) {
    if (state[i] != "ok" || slots_ok[i] != 16384) {
      print "wait", host[i], "sees cluster_state:" state[i], "and", slots_ok[i], "of 16384 slots"
      return 0
    }
    if (link_status[i] == "down") {
      print "wait", host[i], "copies from its master"
      return 0
    }
  }
  return 1
}

# No master has 2 % more or less than its share of the slots (the threshold of redis-cli --cluster rebalance). They move
# by a few hundred, so that new facts, such as a node that restarts, soon count.
function balanced(   i, s, share, size, most, least, count) {
  if (masters != shards) {
    note = ", not moved: there shall be " shards " masters"
    return 1
  }
  share = 16384 / masters
  for (s = 0; s < 16384; s++) size[owner[s]]++
  for (i = 1; i <= n; i++) if (i in chosen) {
    if (!most || size[i] + 0 > size[most] + 0) most = i
    if (!least || size[i] + 0 < size[least] + 0) least = i
  }
  if (size[most] - share <= share / 50 && share - size[least] <= share / 50) return 1
  count = size[most] - share < share - size[least] ? size[most] - share : share - size[least]
  count = count < 1 ? 1 : count > 500 ? 500 : int(count)
  print "reshard", address[most], id[most], id[least], count
  return 0
}

# Whether a pair of numbers comes before another.
function less(a, b, c, d) { return a + 0 < b + 0 || (a + 0 == b + 0 && c + 0 < d + 0) }

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
