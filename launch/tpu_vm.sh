#!/bin/bash
# One run on a TPU VM; every worker starts this at the same time.
set -eu
{{setup}}
[ -d surgjax ] || git clone {{repository}} surgjax
cd surgjax
git fetch --quiet origin
git checkout --quiet {{commit}}
[ -x .venv/bin/python ] || {{python}} -m venv .venv
. .venv/bin/activate
pip install --quiet -c constraints.txt -e '.[tpu]'

# 75: saved after SIGTERM. All workers leave at the same step, and meet again if the VM stays.
while :; do
  status=0
  {{command}} || status=$?
  [ "$status" -eq 75 ] || exit "$status"
done
