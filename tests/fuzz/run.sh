#!/usr/bin/env bash
# Fuzzes every decoder with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
all=(value json msgpack body structured headers letter line)
seconds=20
work=$repo/build/fuzz
chosen=()

usage() {
    cat <<'END'
usage: tests/fuzz/run.sh [--seconds N] [--work DIR] [TARGET...]

TARGET: value json msgpack body structured headers letter line; default: all. --seconds: of
fuzzing in all, shared by the targets; default 20. What was found out is kept in DIR/corpus (default
build/fuzz), a failing input in DIR/found; run it again with: fuzz_replay TARGET FILE
END
}

while (($# > 0)); do
    case $1 in
    --seconds)
        (($# >= 2)) || { usage >&2; exit 64; }
        seconds=$2
        shift 2
        ;;
    --work)
        (($# >= 2)) || { usage >&2; exit 64; }
        work=$2
        shift 2
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*)
        usage >&2
        exit 64
        ;;
    *)
        chosen+=("$1")
        shift
        ;;
    esac
done
((${#chosen[@]} > 0)) || chosen=("${all[@]}")
each=$((seconds / ${#chosen[@]}))
((each > 0)) || each=1

for tool in clang ar pkg-config; do
    command -v "$tool" >/dev/null || {
        echo "tests/fuzz/run.sh: $tool is missing: deploy/local/install.sh installs it" >&2
        exit 69
    }
done

flags=(-std=c17 -O1 -g -D_POSIX_C_SOURCE=200809L -DWORKER_CRASH_POINTS "-I$repo" -fno-omit-frame-pointer
    "-fsanitize=fuzzer-no-link,address,undefined" -fno-sanitize-recover=all)
read -ra libraries <<<"$(pkg-config --libs jansson libcrypto) -lm"

mkdir -p "$work/objects" "$work/corpus" "$work/found"
sources=("$repo"/base/*.c "$repo"/events/*.c "$repo"/events/wire/*.c "$repo/tests/fuzz/targets.c")
(cd "$work/objects" && printf '%s\0' "${sources[@]}" | xargs -0 -n 4 -P 2 clang "${flags[@]}" -c)
objects=()
for source in "${sources[@]}"; do
    objects+=("$work/objects/$(basename "${source%.c}").o")
done
clang "${flags[@]}" "$repo/tests/fuzz/replay.c" "${objects[@]}" "${libraries[@]}" \
    -o "$work/fuzz_replay"
"$work/fuzz_replay" seeds "$work/corpus"

failed=0
for target in "${chosen[@]}"; do
    clang "${flags[@]}" "-DFUZZ_TARGET=\"$target\"" -fsanitize=fuzzer "$repo/tests/fuzz/fuzz.c" \
        "${objects[@]}" "${libraries[@]}" -o "$work/fuzz_$target"
    log=$work/$target.log
    if "$work/fuzz_$target" -max_total_time="$each" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="$work/found/$target-" "$work/corpus/$target" \
        >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        echo "ok    $target: $runs runs in $each s"
    else
        failed=$((failed + 1))
        echo "FAIL  $target: see $log" >&2
        tail -n 20 "$log" >&2
    fi
done
echo "$((${#chosen[@]} - failed)) passed, $failed failed"
((failed == 0))
