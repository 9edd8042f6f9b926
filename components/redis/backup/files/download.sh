#!/bin/sh
# Downloads a snapshot from the bucket into BACKUP_DIR.
#
# BACKUP_DIR  where it goes
# TARGET      the bucket and prefix, as rclone writes them; the rest comes from rclone's own variables
# SNAPSHOT    the name of one; empty: the latest
set -eu

whole=$(rclone lsf --recursive --files-only --include '/{{[0-9]{8}T[0-9]{6}Z}}/manifest' "$TARGET" | sed 's,/manifest$,,' | sort -r)
name=${SNAPSHOT:-$(echo "$whole" | head -n 1)}
if [ -z "$name" ] || ! echo "$whole" | grep -qxF -e "$name"; then
  echo "There is no snapshot $name. There are:" "$whole" >&2
  exit 1
fi
rclone copy "$TARGET/$name" "$BACKUP_DIR/$name"
