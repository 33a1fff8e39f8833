#!/usr/bin/env bash
# What docker/service.Dockerfile does, outside a container: its install line in a new environment, from what it copies,
# then its entry point with its variables, which checks a configuration. `make check-image`; CI runs it.
set -euo pipefail
cd "$(dirname "$0")/../.."
file=docker/service.Dockerfile
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir "$place/app" "$place/data"
for from in $(sed -n 's/^COPY \(.*\) \.\/.*/\1/p' "$file"); do cp -r "$from" "$place/app/"; done
"${PYTHON:-python3.11}" -m venv "$place/venv"
# the image's own index of torch builds only where it is asked for; elsewhere pip takes the pinned torch that it finds
install=$(sed -n 's/^RUN pip install \(.*\) \\$/\1/p' "$file" | sed "s#--extra-index-url [^ ]*#${TORCH_INDEX:+--extra-index-url $TORCH_INDEX}#")
test -n "$install"
cd "$place/app"
"$place/venv/bin/pip" install --quiet --upgrade "pip>=25.1"
eval "'$place/venv/bin/pip' install --quiet $install"
cd "$place"
PATH="$place/venv/bin:$PATH" prostate-alm serve --check \
  --ensemble "$place/no-ensemble" --storage "$place/data" >"$place/said" && exit 1
cat "$place/said"
grep -q '^ok  *settings' "$place/said"
grep -q '^fault  *ensemble' "$place/said"
"$place/venv/bin/python" -c "import openvino, pg8000" # what the extras are for
if "$place/venv/bin/python" -c "import ignite" 2>/dev/null; then echo "the image holds what only training needs"; exit 1; fi
echo "the service installs and starts as its image would"
