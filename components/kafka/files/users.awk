# Reads what Kafka's tools print of users (`kafka-configs.sh --describe --entity-type users`) and of ACLs
# (`kafka-acls.sh --list`), and before both the wanted ACLs, and prints what to do:
#   remove-user NAME
#   add|remove USER OPERATION PATTERN-TYPE, and then the resources as kafka-acls.sh takes them
# What belongs to other users than agents' and the stack's own is left alone: an agent's name is a DNS label, so a name
# with a dot, an underscore or a capital is a person's.

BEGIN { number = split(ENVIRON["USERS"], names, "\n"); for (i = 1; i <= number; i++) wanted_user[names[i]] }

function ours(user) { return user ~ /^[a-z0-9-]+$/ || user == "_exporter" }

# A wanted ACL: user, operation, pattern type, resource type, resource.
FILENAME ~ /wanted-acls$/ { if (NF == 5) wanted[$0] }

/^SCRAM credential configs for user-principal / {
  split($0, parts, "'")
  if (ours(parts[2]) && !(parts[2] in wanted_user)) print "remove-user " parts[2]
}

/^Current ACLs for resource / {
  type = field($0, "resourceType"); resource = field($0, "name"); pattern = field($0, "patternType")
}

/\(principal=User:/ {
  user = field($0, "principal"); sub(/^User:/, "", user)
  if (ours(user) && field($0, "permissionType") == "ALLOW" && field($0, "host") == "*")
    present[user " " field($0, "operation") " " pattern " " type " " resource]
}

function field(text, key) {
  sub(".*[(]" key "=|.* " key "=", "", text)
  sub(/[,)].*/, "", text)
  return text
}

END {
  for (acl in wanted) if (!(acl in present)) note("add", acl)
  for (acl in present) if (!(acl in wanted)) note("remove", acl)
  for (change in resources) print change resources[change]
}

# One call of kafka-acls.sh takes one operation and one pattern type, and any number of resources.
function note(verb, acl,    part, option) {
  split(acl, part, " ")
  option = part[4] == "CLUSTER" ? " --cluster" : " --" tolower(part[4]) " " part[5]
  sub("transactional_id", "transactional-id", option)
  resources[verb " " part[1] " " part[2] " " part[3]] = resources[verb " " part[1] " " part[2] " " part[3]] option
}
