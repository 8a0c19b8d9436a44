#!/usr/bin/env bash
# The same seed is the same run: the counters of two runs agree.
set -euo pipefail

run() {
    "$1" --seed 7 --schedules 2000 --seconds 200 | sed 's/ in [0-9.]* s:/:/'
}

first=$(run "$1")
second=$(run "$1")
printf '%s\n' "$first"
[[ $first == "$second" ]]
