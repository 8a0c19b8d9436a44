#!/usr/bin/env bash
# Everything: installs what is missing, builds, lints, and runs every suite on a real broker and a
# real database of its own. The last line is "N passed, N failed". Exit 0: none failed.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repo"

# name | what it needs (dev, asan: a build; stack: the servers) | what it is
suites=(
    "lint|dev|format, static analysis, scripts, layering"
    "unit|dev|unit and recording tests"
    "unit-asan|asan|the same under AddressSanitizer and UBSan"
    "integration|dev stack|repositories and adapters on the real servers"
    "integration-asan|asan stack|the same under AddressSanitizer and UBSan"
    "e2e|dev stack|the program from outside, all scenarios"
    "e2e-asan|asan stack|the key scenarios under AddressSanitizer and UBSan"
    "e2e-current|dev stack|guarantees and replicas on a current librdkafka in place of Debian's"
    "model|dev|the protocol, every state within small bounds; seeded errors are found"
    "drain|dev stack|a backlog of 100,000 commands in bounded memory"
    "checker|dev|the campaign's checker finds every corruption of good evidence"
    "crash-points|dev|replicas die and freeze once at every step of the protocol"
    "faults|dev|three brokers, a database pair, a bad network: a short fault campaign, judged by the checker"
    "fuzz|dev|every decoder, 20 s of mutated input"
    "bench|dev|the benchmark still measures, on small counts"
    "example|dev stack|the installed repository library and its example program"
    "sdks|dev stack|CloudEvents' SDKs of Python, Node, Java and Go publish commands and read audit events"
    "recipe|stack|CONTRIBUTING's recipes for a command and for a record are followed to the end"
)

# Runs at the same time: of these, at least one mostly waits. The first comes first above.
declare -A beside_of=(
    [integration]=integration-asan
    [e2e-current]=model
    [crash-points]=fuzz
)

usage() {
    cat <<'EOT'
usage: tests/run.sh [--only SUITE]... [--list] [--stack NAME]

  --only   this suite; may be repeated
  --list   what there is
  --stack  the servers are kept in build/test-NAME (default: stack): one for each run at a time

Runs on Debian 12; as root it installs what is missing. Logs: build/test-logs/.
EOT
}

list() {
    local suite name _needs what
    for suite in "${suites[@]}"; do
        IFS='|' read -r name _needs what <<<"$suite"
        printf '%-17s %s\n' "$name" "$what"
    done
}

only=()
stack_name=stack
while (($# > 0)); do
    case $1 in
    --stack)
        [[ ${2:-} =~ ^[a-z-]+$ ]] || {
            usage >&2
            exit 64
        }
        stack_name=$2
        shift 2
        ;;
    --only)
        (($# >= 2)) || {
            usage >&2
            exit 64
        }
        list | grep "^$2 " >/dev/null || {
            printf 'no such suite: %s; there are:\n' "$2" >&2
            list >&2
            exit 64
        }
        only+=("$2")
        shift 2
        ;;
    --list)
        list
        exit 0
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 64
        ;;
    esac
done

logs=$repo/build/test-logs
stack=$repo/build/test-$stack_name
mkdir -p "$logs"
passed=0
failed=0
begun=$SECONDS
done_beside= # suites that ran beside another
running=     # process group of the suite at work
beside=      # process group of the run that goes on meanwhile
stack_up=

# A suite is ended by its process group, the servers by their pids.
finish() {
    local status=$?
    trap - EXIT INT TERM
    local group
    for group in $running $beside; do
        kill -TERM -- "-$group" 2>/dev/null || true
    done
    if [[ -n $stack_up ]]; then
        deploy/local/stack.sh destroy --dir "$stack" >>"$logs/$stack_name.log" 2>&1 || true
    fi
    printf 'took %d s\n' "$((SECONDS - begun))"
    printf '%d passed, %d failed\n' "$passed" "$failed"
    ((status == 0 && failed == 0)) || exit 1
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '%-17s %s\n' "$1" "$2"; }

# give_up STEP HINT: nothing further can be tested.
give_up() {
    say "$1" "FAILED: $2"
    printf '  the end of build/test-logs/%s.log:\n' "$1"
    tail -n 25 "$logs/$1.log" | sed 's/^/    /'
    failed=$((failed + 1))
    exit 1
}

# logged NAME COMMAND...: output to the log, in a process group of its own.
logged() {
    local log=$logs/$1.log status=0
    shift
    set -m
    "$@" >"$log" 2>&1 </dev/null &
    running=$!
    set +m
    wait "$running" || status=$?
    running=
    return "$status"
}

# --- what comes before ---------------------------------------------------------------------------

install() {
    local since=$SECONDS
    logged install deploy/local/install.sh test ||
        give_up install "what the project needs is not there; run as root, with the package mirrors reachable"
    say install "ok ($((SECONDS - since)) s)"
}

declare -A built=()
build() {
    local preset=$1 since=$SECONDS
    [[ -z ${built[$preset]:-} ]] || return 0
    configure_and_build() { cmake --preset "$preset" && cmake --build --preset "$preset"; }
    logged "build-$preset" configure_and_build || give_up "build-$preset" "the $preset build is broken"
    [[ -x build/$preset/worker/catalyst-worker ]] ||
        give_up "build-$preset" "the build made no build/$preset/worker/catalyst-worker"
    built[$preset]=yes
    say "build-$preset" "ok ($((SECONDS - since)) s)"
}

start_stack() {
    [[ -z $stack_up ]] || return 0
    local since=$SECONDS
    stack_up=yes
    # What an interrupted run left behind.
    deploy/local/stack.sh destroy --dir "$stack" >"$logs/$stack_name.log" 2>&1 || true
    deploy/local/stack.sh start --dir "$stack" >>"$logs/$stack_name.log" 2>&1 ||
        give_up "$stack_name" "the local broker and database do not start"
    eval "$(deploy/local/stack.sh env --dir "$stack")"
    say "$stack_name" "ok ($((SECONDS - since)) s)"
}

needs_of() {
    local suite name needs
    for suite in "${suites[@]}"; do
        IFS='|' read -r name needs _ <<<"$suite"
        [[ $name != "$1" ]] || printf '%s\n' "$needs"
    done
}

# prepare NEEDS
prepare() {
    local need
    for need in $1; do
        if [[ $need == stack ]]; then
            start_stack
        else
            build "$need"
        fi
    done
}

# --- suites --------------------------------------------------------------------------------------

# what_failed LOG: the line of each failure that says what it is, in the words of pytest, cmocka, ctest.
what_failed() {
    grep -aE '^(FAILED|ERROR) |^E   |\[  FAILED  \]|\[  ERROR   \]|\(Failed\)|: error:|FAILED:' "$1" |
        cut -c1-300 | awk '!seen[$0]++' | head -n 40
}

# tally NAME PASSED FAILED SINCE: one line, and the end of the log when something failed.
tally() {
    passed=$((passed + $2))
    failed=$((failed + $3))
    if (($3 == 0)); then
        say "$1" "$2 passed ($((SECONDS - $4)) s)"
        return 0
    fi
    say "$1" "$2 passed, $3 FAILED ($((SECONDS - $4)) s); the end of build/test-logs/$1.log:"
    { what_failed "$logs/$1.log" || true; echo ...; tail -n 25 "$logs/$1.log"; } | cut -c1-300 | sed 's/^/    /'
}

# read_count NAME STATUS: ok and bad from a last line "N passed, N failed", else one test by exit status.
read_count() {
    local last
    last=$(tail -n 1 "$logs/$1.log")
    if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        ok=${BASH_REMATCH[1]} bad=${BASH_REMATCH[2]}
        # A script that dies behind its last test has failed as well.
        if (($2 != 0 && bad == 0)); then
            bad=1
        fi
    else
        ok=$(($2 == 0)) bad=$(($2 != 0))
    fi
}

# count NAME STATUS SINCE
count() {
    local ok bad
    read_count "$1" "$2"
    tally "$1" "$ok" "$bad" "$3"
}

# sum_of PATTERN FILE: of the numbers that match.
sum_of() { { grep -oP "$1" "$2" || true; } | awk '{n += $1} END {print n + 0}'; }

# cmocka's own numbers are summed; a program that dies without them, or that is no cmocka program,
# counts as one.
count_ctest() {
    local ok bad programs_failed plain
    ok=$(sum_of '\[  PASSED  \] \K[0-9]+(?= test)' "$logs/$1.log")
    bad=$(sum_of '\[  FAILED  \] \K[0-9]+(?= test)' "$logs/$1.log")
    programs_failed=$(grep -oP 'tests? passed, \K[0-9]+(?= tests? failed)' "$logs/$1.log" | tail -n 1 || true)
    plain=$(grep -c ': Test command:' "$logs/$1.log" || true)
    if ((bad < ${programs_failed:-0})); then
        bad=$programs_failed
    fi
    if [[ -z $programs_failed ]] || ((plain == 0)) || (($2 != 0 && bad == 0)); then
        bad=$((bad + 1))
    fi
    tally "$1" "$ok" "$bad" "$3"
}

run_ctest() {
    local name=$1 preset=$2 status=0 since=$SECONDS
    shift 2
    logged "$name" ctest --test-dir "build/$preset" --no-tests=error --timeout 300 -V "$@" || status=$?
    count_ctest "$name" "$status" "$since"
}

run_pytest() {
    local name=$1 preset=$2 status=0 since=$SECONDS report=$logs/$1.xml numbers
    shift 2
    rm -f "$report"
    CATALYST_WORKER=$repo/build/$preset/worker/catalyst-worker STACK_DIR=$stack \
        logged "$name" build/venv/bin/python -m pytest -c tests/e2e/pytest.ini \
        --rootdir tests/e2e --junitxml "$report" tests/e2e "$@" || status=$?
    # A test that is skipped proves nothing: it counts as failed.
    numbers=$(build/venv/bin/python - "$report" <<'EOT' || echo "0 1"
import sys
import xml.etree.ElementTree as tree

suite = tree.parse(sys.argv[1]).getroot().find("testsuite")
total, bad = int(suite.get("tests")), sum(int(suite.get(k)) for k in ("failures", "errors", "skipped"))
print(max(total - bad, 0), bad)
EOT
    )
    local ok=${numbers% *} bad=${numbers#* }
    if ((status != 0 && bad == 0)); then
        bad=1
    fi
    tally "$name" "$ok" "$bad" "$since"
}

# The wheel of the tests' Kafka client carries a librdkafka with the same ABI, years newer.
run_current() {
    local libraries=(build/venv/lib/python3*/site-packages/confluent_kafka.libs/librdkafka-*.so*)
    E2E_LIBRDKAFKA=$repo/${libraries[0]} run_pytest e2e-current dev \
        -k "test_guarantees or test_replicas or test_version"
}

run_script() {
    local name=$1 status=0 since=$SECONDS
    shift
    if [[ ! -x $1 ]]; then
        echo "$1 is missing" >"$logs/$name.log"
        tally "$name" 0 1 "$since"
        return 0
    fi
    logged "$name" "$@" || status=$?
    count "$name" "$status" "$since"
}

# begin_beside NAME: in a run of its own, with servers of its own. Its builds are there already.
begin_beside() {
    set -m
    "$0" --only "$1" --stack stack-beside >"$logs/beside.log" 2>&1 </dev/null &
    beside=$!
    set +m
}

# end_beside NAME: waits for it, and tells what it says of itself, or all when it did not come to that.
end_beside() {
    local status=0 ok bad
    wait "$beside" || status=$?
    beside=
    read_count beside "$status"
    passed=$((passed + ok))
    failed=$((failed + bad))
    sed -n "/^$1 /,/^took /{/^took /!p}" "$logs/beside.log" | grep . || cat "$logs/beside.log"
}

run_drain() {
    local status=0 since=$SECONDS
    STACK_DIR=$stack logged drain build/venv/bin/python tests/e2e/drain.py --messages 100000 \
        --worker build/dev/worker/catalyst-worker || status=$?
    count drain "$status" "$since"
}

# A program of the fault campaign, with servers of its own where it needs any.
run_campaign() {
    local name=$1 status=0 since=$SECONDS
    shift
    CATALYST_WORKER=$repo/build/dev/worker/catalyst-worker PYTHONPATH=$repo/tests/faults PYTHONDONTWRITEBYTECODE=1 \
        logged "$name" env -u STACK_DIR build/venv/bin/python -m "$@" || status=$?
    count "$name" "$status" "$since"
}

wanted() { ((${#only[@]} == 0)) || [[ " ${only[*]} " == *" $1 "* ]]; }

run() {
    case $1 in
    lint) run_script lint tests/lint.sh --build build/dev ;;
    unit) run_ctest unit dev -LE integration -j 2 ;;
    unit-asan) run_ctest unit-asan asan -LE integration -j 2 ;;
    integration) run_ctest integration dev -L integration ;;
    integration-asan) run_ctest integration-asan asan -L integration ;;
    e2e) run_pytest e2e dev -m "not sdks" ;;
    e2e-asan) run_pytest e2e-asan asan -m key ;;
    e2e-current) run_current ;;
    model) run_script model tests/model/run.sh ;;
    drain) run_drain ;;
    checker) run_campaign checker campaign.selftest ;;
    crash-points) run_campaign crash-points campaign.crash_points ;;
    faults) run_script faults tests/faults/run.sh --short ;;
    fuzz) run_script fuzz tests/fuzz/run.sh --seconds 20 ;;
    bench) run_script bench tests/bench/run.sh --quick --build build/dev ;;
    example) run_script example tests/example/run.sh ;;
    sdks) run_pytest sdks dev -m sdks ;;
    recipe) run_script recipe tests/recipe/run.sh ;;
    esac
}

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

install
for suite in "${suites[@]}"; do
    IFS='|' read -r name needs _ <<<"$suite"
    wanted "$name" || continue
    other=${beside_of[$name]:-}
    if [[ -n $other ]] && wanted "$other"; then
        prepare "$(needs_of "$other" | sed 's/stack//')"
        prepare "$needs"
        begin_beside "$other"
        run "$name"
        end_beside "$other"
        done_beside+=" $other "
    elif [[ $done_beside != *" $name "* ]]; then
        prepare "$needs"
        run "$name"
    fi
done
