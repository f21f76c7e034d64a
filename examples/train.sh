#!/usr/bin/env bash
# A training of about a minute on two CPU cores: it shows the way from a folder of photographs to a model of one's own.
set -euo pipefail
cd "$(dirname "$0")"
run=$(mktemp -d)/run

restorekit train multi-output-compact --output "$run" \
    --set name=mine --set 'data.clean=["lighthouse.jpg", "kitten.jpg", "circuits.jpg"]' --set 'data.validation=["lighthouse.jpg"]' \
    --set train.init=multi-output-compact --set train.steps=60 --set train.learning_rate=1e-5 --set train.compile=false \
    --set report.validate_every=60 --set report.log_every=10
restorekit infer --model "$run/mine.toml" lighthouse-blurred.jpg -o "$run/lighthouse.png"
