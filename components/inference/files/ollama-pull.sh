#!/bin/sh
# Downloads MODEL onto the volume, unless it is there: the server itself answers 404 for a model that it does not have,
# and a restart must not need the registry.
set -eu
ollama serve &
server=$!
trap 'kill "$server"' EXIT
seconds=0
until ollama list >/dev/null 2>&1; do
  seconds=$((seconds + 1))
  if [ "$seconds" -gt 60 ]; then
    echo "ollama does not answer after 60 s" >&2
    exit 1
  fi
  sleep 1
done
ollama show "$MODEL" >/dev/null 2>&1 || ollama pull "$MODEL"
