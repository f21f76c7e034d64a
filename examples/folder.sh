#!/usr/bin/env bash
# A folder as a batch: stop it with Ctrl-C and start it again, and it goes on where it was.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)

mkdir "$work/sharp" "$work/blurred"
cp lighthouse.jpg kitten.jpg circuits.jpg "$work/sharp"
restorekit degrade --seed 1 "$work/sharp" -o "$work/blurred"
restorekit deblur "$work/blurred" -o "$work/restored"
restorekit deblur "$work/blurred" -o "$work/restored" # nothing left to do
restorekit evaluate "$work/blurred" "$work/sharp"
restorekit evaluate "$work/restored" "$work/sharp"
