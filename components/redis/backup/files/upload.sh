#!/bin/sh
# Uploads the snapshot in BACKUP_DIR, its manifest last: in the bucket, what has no manifest is no snapshot. Then
# deletes what is older than the last KEEP snapshots.
#
# BACKUP_DIR  the folder with the one snapshot, or none of an empty cluster
# TARGET      the bucket and prefix, as rclone writes them; the rest comes from rclone's own variables
# KEEP        how many snapshots stay
set -eu

for snapshot in "$BACKUP_DIR"/*Z; do
  [ -d "$snapshot" ] || exit 0
  name=${snapshot##*/}
  rclone copy --exclude /manifest "$snapshot" "$TARGET/$name"
  rclone copy "$snapshot/manifest" "$TARGET/$name"
  echo "$name is in the bucket"
done

oldest=$(rclone lsf --recursive --files-only --include '/{{[0-9]{8}T[0-9]{6}Z}}/manifest' "$TARGET" |
  sort -r | sed -n "${KEEP}s,/manifest,,p")
[ -n "$oldest" ] || exit 0
rclone lsf --dirs-only "$TARGET" | grep -x '[0-9]\{8\}T[0-9]\{6\}Z/' | awk -v oldest="$oldest/" '$0 < oldest' |
  while read -r old; do
    rclone delete --include /manifest "$TARGET/$old"
    rclone purge "$TARGET/$old"
    echo "${old%/} is deleted: $KEEP are kept"
  done
