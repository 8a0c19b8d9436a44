#!/usr/bin/env bash
# Shows the whole thing at work on this machine: commands go into Kafka on one side, rows and audit
# events come out on the other. Installs what is missing (as root, on Debian 12), builds, starts a
# broker and a database of its own, and stops at the end what it started.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repo"

usage() {
    cat <<'EOT'
usage: deploy/demo.sh [--keep | --stop]

  --keep   leave the servers and the two replicas running, to look around
  --stop   stop what an earlier run with --keep left running
EOT
}

keep=
stop_only=
while (($# > 0)); do
    case $1 in
    --keep) keep=yes ;;
    --stop) stop_only=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 64
        ;;
    esac
    shift
done

home=build/demo
logs=$home/logs
stack=(deploy/local/stack.sh)
worker=$repo/build/release/worker/catalyst-worker
begun=$SECONDS
mkdir -p "$logs"

step() { printf '\n== %s\n' "$*"; }

die() {
    printf 'demo: %s\n' "$1" >&2
    if (($# > 1)); then
        printf 'demo: the end of %s:\n' "$2" >&2
        tail -n 20 "$2" | sed 's/^/    /' >&2
    fi
    exit 1
}

# quietly LOG WHAT COMMAND...
quietly() {
    local log=$logs/$1.log what=$2
    shift 2
    "$@" >"$log" 2>&1 </dev/null || die "$what" "$log"
}

# --- replicas ------------------------------------------------------------------------------------

# A pid file holds pid and start time: a pid that was given to another program is not ours.
started_at() {
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086 # split into fields on purpose
    set -- ${line##*) }
    [[ $1 != Z ]] || return 1
    printf '%s' "${20}"
}

replica_runs() {
    local pid began
    read -r pid began 2>/dev/null <"$1" || return 1
    [[ $(started_at "$pid") == "$began" ]] && printf '%s' "$pid"
}

stop_replicas() {
    local file pid i
    for file in "$home"/replica-*.pid; do
        [[ -e $file ]] || continue
        if pid=$(replica_runs "$file"); then
            kill -TERM "$pid" 2>/dev/null || true
        fi
    done
    for file in "$home"/replica-*.pid; do
        [[ -e $file ]] || continue
        for ((i = 0; i < 300; i++)); do
            replica_runs "$file" >/dev/null || break
            sleep 0.1
        done
        if pid=$(replica_runs "$file"); then
            printf 'demo: replica %s did not stop within 30 s, killing it\n' "$pid" >&2
            kill -KILL "$pid" 2>/dev/null || true
        fi
        rm -f "$file"
    done
}

tailing=
stop_all() {
    if [[ -n $tailing ]]; then
        kill -TERM "$tailing" 2>/dev/null || true
        tailing=
    fi
    stop_replicas
    "${stack[@]}" destroy --dir "$home/stack" >>"$logs/stack.log" 2>&1 || true
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_replica() {
    local number=$1 port pid
    port=$(free_port)
    CATALYST_INSTANCE_ID=demo-$number CATALYST_HTTP_LISTEN=127.0.0.1:$port CATALYST_LANES=2 \
        "$worker" run </dev/null >"$logs/replica-$number.log" 2>&1 &
    pid=$!
    disown
    echo "$pid $(started_at "$pid")" >"$home/replica-$number.pid"
    ports+=("$port")
}

await_replicas() {
    local number deadline=$((SECONDS + 60))
    for number in 1 2; do
        until curl -fsS -o /dev/null "http://127.0.0.1:${ports[number - 1]}/health/ready" 2>/dev/null; do
            replica_runs "$home/replica-$number.pid" >/dev/null ||
                die "replica $number ended at its start" "$logs/replica-$number.log"
            ((SECONDS < deadline)) || die "replica $number is not ready after 60 s" "$logs/replica-$number.log"
            sleep 0.1
        done
    done
}

if [[ -n $stop_only ]]; then
    stop_all
    echo "stopped"
    exit 0
fi

# --- what comes before ---------------------------------------------------------------------------

step "what is needed: packages, Kafka, a Python client"
deploy/local/install.sh run
requirements=deploy/demo/requirements.txt
if ! cmp -s "$requirements" "$home/venv/requirements.txt"; then
    rm -rf "$home/venv"
    quietly venv "python3 -m venv failed" /usr/bin/python3 -m venv "$home/venv"
    quietly pip "pip could not fetch the packages of $requirements, is the index reachable?" \
        "$home/venv/bin/pip" install --disable-pip-version-check -q -r "$requirements"
    cp "$requirements" "$home/venv/requirements.txt"
fi
python=$home/venv/bin/python

step "the worker, release build"
quietly configure "cmake could not configure the build" cmake --preset release -DBUILD_TESTING=OFF
quietly build "the build failed" cmake --build --preset release --target catalyst-worker
"$worker" version

step "a broker and a database"
stop_all # what an earlier run may have left
for name in "${!CATALYST_@}"; do # settings of the shell at hand would redirect the demo
    [[ $name == CATALYST_CACHE ]] || unset "$name"
done
"${stack[@]}" start --dir "$home/stack"
trap 'stop_all' EXIT
trap 'exit 130' INT TERM
"${stack[@]}" env --dir "$home/stack" >"$home/env"
# shellcheck disable=SC2016 # expanded where it is sourced
printf 'export PATH=%q:$PATH\n' "$repo/build/release/worker" >>"$home/env"
# shellcheck source=/dev/null
. "$home/env"
group=catalyst-worker
topics=catalyst.identity.commands,catalyst.key.commands
quietly migrate "the tables and topics could not be made" "$worker" migrate up --topics
"$worker" migrate status --output table

step "two replicas"
ports=()
start_replica 1
start_replica 2
await_replicas
for number in 1 2; do
    printf 'replica %d: pid %s, http://127.0.0.1:%s/metrics, log %s\n' "$number" \
        "$(replica_runs "$home/replica-$number.pid")" "${ports[number - 1]}" "$logs/replica-$number.log"
done

# --- the stream ----------------------------------------------------------------------------------

step "commands of all twelve types; the first audit events as they arrive"
rm -f "$home/tail.pipe"
mkfifo "$home/tail.pipe"
"$worker" tail --from beginning --count 12 >"$home/tail.pipe" 2>"$logs/tail.log" &
tailing=$!
jq -r --unbuffered '"  \(.data.occurredAt)  \(.data.action)  \(.key)  \(.data.outcome)"' <"$home/tail.pipe" &
showing=$!
"$python" deploy/demo/stream.py --servers "$CATALYST_KAFKA_BOOTSTRAP_SERVERS" \
    --identity "${topics%,*}" --keys "${topics#*,}" --ledger "$home/ledger.json"
since=$SECONDS
"$python" deploy/demo/summary.py wait --servers "$CATALYST_KAFKA_BOOTSTRAP_SERVERS" --group "$group" \
    --topics "$topics" || die "the replicas did not get through" "$logs/replica-1.log"
wait "$tailing" || die "tail failed" "$logs/tail.log"
tailing=
wait "$showing"
echo "all of it done $((SECONDS - since)) s after the last one was sent"

step "what became of it"
"$python" deploy/demo/summary.py report --servers "$CATALYST_KAFKA_BOOTSTRAP_SERVERS" --topics "$topics" \
    --audit catalyst.audit.events --dlq-suffix .dlq --ledger "$home/ledger.json" \
    --database "$CATALYST_DATABASE_URL" \
    --metrics "http://127.0.0.1:${ports[0]}/metrics" "http://127.0.0.1:${ports[1]}/metrics" ||
    die "the sums do not agree"

# --- looking further -----------------------------------------------------------------------------

# Each is run once here, so that what is printed works.
# shellcheck disable=SC2016 # for the reader's shell
further=(
    'catalyst-worker tail --from beginning --count 3'
    'catalyst-worker tail --topic dlq --from beginning --count 2'
    'catalyst-worker show key key_1'
    'catalyst-worker show keys --owner user:user_1 --include-revoked --output table'
    'catalyst-worker show identity --user user_41'
    'catalyst-worker show audit --entity key_1 --limit 5'
    'psql "$CATALYST_DATABASE_URL" -c "SELECT action, outcome, count(*) FROM auth_audit_events GROUP BY 1, 2 ORDER BY 1, 2"'
    'psql "$CATALYST_DATABASE_URL" -c "SELECT id, usage_count, last_used_at FROM auth_keys ORDER BY usage_count DESC LIMIT 5"'
    'echo '\''{"type":"dev.catalyst.key.record_usage.v1","id":"by-hand-1","source":"me","data":{"id":"key_1"}}'\'' | catalyst-worker publish'
)
step "to look further"
for command in "${further[@]}"; do
    PAGER="cat" bash -c "$command" >"$logs/further.log" 2>&1 </dev/null || die "does not work: $command" "$logs/further.log"
    printf '  %s\n' "$command"
done
if [[ -n $keep ]]; then
    trap - EXIT INT TERM
    printf '\nfirst:      . %s/env\nto stop it: deploy/demo.sh --stop\n' "$home"
else
    printf '\nThese work after deploy/demo.sh --keep and . %s/env; now everything is stopped.\n' "$home"
fi
printf 'took %d s\n' "$((SECONDS - begun))"
