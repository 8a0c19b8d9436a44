#!/usr/bin/env bash
# The fault campaign: installs what is missing, builds, starts three brokers, a database with its
# synchronous standby and a network between them that can fail, brings about one fault after the
# other under load, and lets the checker judge. The last line is "N passed, N failed".
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$repo"

usage() {
    cat <<'EOT'
usage: tests/faults/run.sh [--minutes M] [--seed S] [--short] [--only NAME]... [--list]
                           [--report FILE]

  --minutes M    of load; default 10. From 60 on every fault is brought about at least five times
  --seed S       the same seed, the same plan and the same commands; default: a new one
  --short        at most four minutes in all: the most telling faults, and a pick of the others
  --only NAME    faults whose names begin so
  --list         names the faults
  --report FILE  the report as JSON, there too

Everything of a campaign is in build/faults/seed-S: report.txt, report.json, and when something was
found, the journal, the evidence, and the logs of servers and replicas.
EOT
}

minutes=10
for word in "$@"; do
    case $word in
    -h | --help | help)
        usage
        exit 0
        ;;
    esac
done
words=("$@")
for ((i = 0; i < ${#words[@]}; i++)); do
    case ${words[i]} in
    --short) minutes=4 ;;
    --minutes) minutes=${words[i + 1]:-10} ;;
    --minutes=*) minutes=${words[i]#*=} ;;
    esac
done

die() {
    printf 'faults: %s\n0 passed, 1 failed\n' "$*"
    exit 1
}

logs=$repo/build/faults
mkdir -p "$logs"
deploy/local/install.sh test >"$logs/install.log" 2>&1 ||
    die "what the project needs is not there; see build/faults/install.log"
export CATALYST_WORKER=${CATALYST_WORKER:-$repo/build/dev/worker/catalyst-worker}
if [[ $CATALYST_WORKER == "$repo/build/dev/worker/catalyst-worker" ]]; then
    { cmake --preset dev && cmake --build --preset dev --target catalyst-worker; } \
        >"$logs/build.log" 2>&1 || die "the dev preset does not build; see build/faults/build.log"
fi

# Whatever happens it ends: half as long again, and half an hour to start, drain and judge.
limit=$(awk -v minutes="$minutes" 'BEGIN { print int(minutes * 90 + 1800) }')
PYTHONPATH=$repo/tests/faults PYTHONDONTWRITEBYTECODE=1 \
    exec timeout --foreground --signal=TERM --kill-after=60 "$limit" \
    build/venv/bin/python -m campaign --dir "$logs" "$@"
