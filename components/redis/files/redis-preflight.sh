#!/bin/sh
# Tries an external Redis as agents will use it, and says in a line each what is wrong and what mends it.
#
# REDIS_URL, REDIS_HOST, REDIS_PORT  as agents get them
# REDIS_CA_FILE     as agents get it: the certificate authority; unset: a public one
# REDIS_CLI         redis-cli or valkey-cli
# REDIS_TLS, REDIS_CLUSTER  yes or no: what the settings say
# REDIS_KEYS        the agents' patterns of keys, a line each
# TIMEOUT_SECONDS   give up after this long on what may pass by itself; default 60
#
# Exit codes: 0 agents can work with it; 1 not in time; 2 a person must decide. Of the URL nothing is ever printed.
set -eu
trap 'exit 1' TERM INT

here=$REDIS_HOST:$REDIS_PORT
deadline=$(($(date +%s) + ${TIMEOUT_SECONDS:-60}))

refuse() {
  echo "redis.external$*" >&2
  exit 2
}

# For mistakes that do not hide others: all are said at the end.
problems=
problem() {
  problems="${problems}redis.external$*
"
}

# %40 becomes @, byte by byte.
decoded() {
  printf '%s' "$1" | LC_ALL=C awk '{
    for (text = $0; match(text, /%[0-9A-Fa-f][0-9A-Fa-f]/); text = substr(text, RSTART + 3))
      printf "%s%c", substr(text, 1, RSTART - 1),
        16 * (index("0123456789abcdef", tolower(substr(text, RSTART + 1, 1))) - 1) \
        + index("0123456789abcdef", tolower(substr(text, RSTART + 2, 1))) - 1
    printf "%s", text
  }'
}

scheme=${REDIS_URL%%://*}
authority=${REDIS_URL#*://}
authority=${authority%%[/?#]*}
address=${authority##*@}
case $address in *:*) ;; *) address=$address:6379 ;; esac
case $REDIS_TLS:$scheme in
  yes:rediss | no:redis) ;;
  yes:*) refuse ".urlSecret: the URL does not begin with rediss://, and \`tls\` is set: correct the one or the other" ;;
  no:*) refuse ".urlSecret: the URL does not begin with redis://, and \`tls\` is not set: correct the one or the other" ;;
esac
[ "$address" = "$here" ] ||
  refuse ".urlSecret: the URL leads elsewhere than to host and port of the settings, $here: let them agree"

# Not `-u URL`, which takes an absent user for one without a name, and shows the password to `ps`.
set -- -h "$REDIS_HOST" -p "$REDIS_PORT" --no-auth-warning
case $authority in *@*)
  login=${authority%@*}
  user=$(decoded "${login%%:*}")
  case $login in *:*) REDISCLI_AUTH=$(decoded "${login#*:}") && export REDISCLI_AUTH ;; esac
  [ -z "$user" ] || set -- "$@" --user "$user"
  ;;
esac
if [ "$REDIS_TLS" = yes ]; then
  authorities='a public authority'
  set -- "$@" --tls --sni "$REDIS_HOST"
  if [ -n "${REDIS_CA_FILE:-}" ]; then
    authorities='that authority'
    set -- "$@" --cacert "$REDIS_CA_FILE"
  elif [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then
    # So in the upstream images.
    echo "redis.external.tls: this image knows no public authorities, so the certificate of $here is not checked"
    set -- "$@" --insecure
  fi
fi
if [ "$REDIS_CLUSTER" = yes ]; then set -- "$@" -c; fi

# ask OPTIONS... -- COMMAND...: what the server says, or why it says nothing. The options are those above.
answer=
ask() {
  # In a connection that should be plain, a server with TLS is waited for in vain, and the other way round.
  answer=$(timeout 10 "$REDIS_CLI" "$@" </dev/null 2>&1) || [ $? -ne 124 ] || answer='no answer within 10 s'
}

# Whether the port, asked without a user, answers as a Redis does; the arguments say how to connect.
is_redis() {
  heard=$(unset REDISCLI_AUTH && timeout 5 "$REDIS_CLI" -h "$REDIS_HOST" -p "$REDIS_PORT" "$@" ping </dev/null 2>&1) || :
  case $heard in *PONG* | *NOAUTH* | *NOPERM* | *DENIED* | *LOADING*) return 0 ;; *) return 1 ;; esac
}

# What may pass by itself is left in `waiting`, with status 1.
waiting=
reach() {
  ask "$@" ping
  case $answer in
    *'AUTH failed: '*'without any password'*)
      refuse ".urlSecret: $here asks for no password, and the URL has one: remove it, or check host and port" ;;
    *'AUTH failed: '*) refuse ".urlSecret: $here refuses the user or password of the URL (WRONGPASS): correct the URL" ;;
    *NOAUTH*) refuse ".urlSecret: $here asks for a password, and the URL has none (NOAUTH): write it into the URL" ;;
    # Whoever may not ping has got in.
    *PONG* | *NOPERM*) return 0 ;;
    *'certificate verify failed'*)
      refuse ".tls.ca: the certificate of $here has expired, or is not signed by $authorities: name the one that signed" \
        'it' ;;
    *DENIED*) refuse ".host: $here is in protected mode, which refuses connections from elsewhere: give it a password" ;;
    *LOADING* | *MASTERDOWN* | *CLUSTERDOWN* | *'max number of clients'*)
      waiting=": $here is not ready ($(one_line)): see to it, or wait" ;;
    *'Could not connect to Redis'*'SSL_connect'* | *'I/O error'* | *'reset by peer'* | *'closed the connection'* | 'no answer'*)
      if [ "$REDIS_TLS" = yes ]; then
        if is_redis; then
          refuse ".tls: $here answers without TLS: remove \`tls\` and write redis:// into the URL, or check the port"
        fi
      elif is_redis --tls --insecure; then
        refuse ".tls: $here speaks TLS: set \`tls\` and write rediss:// into the URL, or check the port"
      fi
      waiting=": cannot reach $here ($(one_line)): check host and port, what is between, and whether it demands client"
      waiting="$waiting certificates, which are not supported" ;;
    *resolution* | *'not known'* | *'No address'*)
      waiting=".host: the name $REDIS_HOST cannot be resolved: check it" ;;
    *)
      waiting=": cannot reach $here ($(one_line)): check host, port, and that \`network\` holds its addresses" ;;
  esac
  return 1
}

# The last line of an answer, without the address that a message has already.
one_line() { printf '%s\n' "$answer" | sed -e '/^$/d' -e 's/^Could not connect to Redis at [^ ]*: //' | tail -n 1; }

check_cluster() {
  ask "$@" cluster slots
  case $REDIS_CLUSTER:$answer in
    yes:*'cluster support disabled'* | yes:*'unknown command'*)
      refuse ".cluster: $here is not a Redis Cluster: name the endpoint of one, or set \`cluster: false\` if the agents'" \
        'clients do not expect one' ;;
    yes:*NOPERM*)
      problem '.urlSecret: the user of the URL may not ask for CLUSTER SLOTS, and clients of a cluster must (NOPERM): allow' \
        '+cluster|slots +cluster|shards +cluster|nodes' ;;
    yes: | *:*CLUSTERDOWN*)
      waiting=": the cluster at $here has no slots yet: see to it, or wait"
      return 1 ;;
    no:*ERR* | no:*NOPERM* | no: | yes:*) ;;
    no:*)
      refuse ".cluster: $here is a Redis Cluster, whose clients must follow redirections: set \`cluster: true\`, and let" \
        "the agents use a client of clusters" ;;
  esac
}

# A key that the pattern matches and that nobody has: nothing if the pattern is a key itself.
key_of() {
  case $1 in *\**) ;; *) return ;; esac
  printf '%s' "$1" | sed -e 's/\[\([^]]\)[^]]*\]/\1/g' -e 's/?/x/g' -e "s/\*/agentstack-preflight-$unique/" -e 's/\*/x/g'
}

check_keys() {
  read -r unique </proc/sys/kernel/random/uuid
  tried=
  while read -r pattern; do
    key=$(key_of "$pattern")
    [ -n "$key" ] || continue
    denied=
    for command in 'set' 'get' 'del'; do
      # It ends by itself, should this be killed half way.
      if [ "$command" = 'set' ]; then ask "$@" set "$key" preflight EX 60; else ask "$@" "$command" "$key"; fi
      case $answer in
        *NOPERM*) denied="$denied $command" ;;
        *MOVED*)
          refuse ".cluster: $here is a Redis Cluster, whose clients must follow redirections: set \`cluster: true\`" ;;
        *READONLY*) refuse ".host: $here is a replica, which takes no writes (READONLY): name the primary's endpoint" ;;
        OK | preflight | 0 | 1 | '') ;;
        *'Could not connect'*)
          node=$(printf '%s' "$answer" | sed -n 's/.*Could not connect to Redis at \([^ ]*\): .*/\1/p' | tail -n 1)
          waiting=": the cluster sends clients on to $node, which cannot be reached ($(one_line)): check that \`network\`"
          waiting="$waiting holds every node, and that all listen on port $REDIS_PORT"
          return 1 ;;
        *)
          waiting=": $here does not carry out $command ($(one_line)): see to it, or wait"
          return 1 ;;
      esac
    done
    tried="$tried $pattern"
    [ -z "$denied" ] ||
      problem ".urlSecret: the user of the URL may not use$denied on keys such as $pattern (NOPERM): allow" \
        "~$pattern +@read +@write"
  done <<END
$REDIS_KEYS
END
}

check_memory() {
  ask "$@" info memory
  policy=$(printf '%s\n' "$answer" | tr -d '\r' | sed -n 's/^maxmemory_policy://p')
  case $policy in allkeys-*)
    echo "redis.external: $here evicts any key when its memory is full ($policy), conversations and checkpoints too:" \
      'choose volatile-ttl or noeviction' ;;
  esac
}

until reach "$@" && check_cluster "$@" && check_keys "$@"; do
  if [ "$(date +%s)" -ge "$deadline" ]; then
    echo "redis.external$waiting" >&2
    exit 1
  fi
  problems=
  sleep 2
done
if [ -n "$problems" ]; then
  printf '%s' "$problems" >&2
  exit 2
fi
check_memory "$@"
echo "redis.external: $here is as declared, and agents may use$tried"
