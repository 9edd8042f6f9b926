#!/bin/sh
# Alive is whoever answers. Loading its files, waiting for its master, running a long script, another password and an
# outdated certificate are no reasons for a restart, which would only begin them anew.
# shellcheck source=components/redis/client.sh
. "${0%/*}/client.sh"
reply=$(cli localhost:6379 --insecure ping 2>&1)
case $reply in
PONG | *LOADING* | *MASTERDOWN* | *BUSY* | *NOAUTH* | *NOPERM*) exit 0 ;;
esac
echo "$reply"
exit 1
