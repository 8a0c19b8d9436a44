#!/usr/bin/env bash
# Installs the repository library under a temporary prefix and uses it as a stranger would: builds
# the example with plain cc, and again with its own CMake project, by pkg-config alone; runs the
# example's unit test, and the example against the PostgreSQL of CATALYST_DATABASE_URL.
#
# usage: tests/example/run.sh [BUILD_DIR]     (default build/dev)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
cd "$repo"
build=${1:-build/dev}

if [[ -z ${CATALYST_DATABASE_URL:-} ]]; then
    # shellcheck disable=SC2016 # the command is shown, not run
    echo 'example: CATALYST_DATABASE_URL is not set; start the local stack and take its addresses:' \
        'eval "$(deploy/local/stack.sh env)"' >&2
    exit 1
fi

work=$(mktemp -d)
schema=example_$$
cleanup() {
    psql -q "$CATALYST_DATABASE_URL" -c "DROP SCHEMA IF EXISTS $schema CASCADE" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

# shellcheck source=tests/tools/checks.sh
. "$repo/tests/tools/checks.sh"

install_library() {
    [[ -f $build/CMakeCache.txt ]] || cmake --preset dev -B "$build"
    cmake --build "$build" --target catalyst-repo catalyst-repo-testing
    cmake --install "$build" --component repo --prefix "$work/prefix"
    cmake --install "$build" --component repo-testing --prefix "$work/prefix"
}

# By default the daemon comes alone: program, manual, documents, sample configuration.
daemon_comes_alone() {
    cmake --build "$build" --target catalyst-worker
    cmake --install "$build" --component worker --prefix "$work/daemon"
    [[ -x $work/daemon/bin/catalyst-worker && -f $work/daemon/share/man/man1/catalyst-worker.1 ]]
    cmake --install "$build" --prefix "$work/all"
    [[ -z $(find "$work/daemon" "$work/all" -name '*.h' -o -name '*.a' -o -name '*.pc') ]]
}

# The archive of a sanitized build needs the same sanitizer in its user.
sanitizers() {
    sed -n 's/^WORKER_SANITIZE:STRING=\(..*\)/-fsanitize=\1/p' "$build/CMakeCache.txt"
}

find_pc() {
    PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name catalyst-repo.pc)")
    export PKG_CONFIG_PATH
}

# compile PROGRAM PACKAGE SOURCE...
compile() {
    local program=$1 package=$2 sanitize
    shift 2
    sanitize=$(sanitizers)
    # shellcheck disable=SC2046,SC2086 # flags are words
    cc -std=c17 -Wall -Wextra -Werror $sanitize -o "$work/$program" \
        $(pkg-config --cflags "$package") "${@/#/$here/}" $(pkg-config --libs "$package")
}

build_with_cc() {
    compile example catalyst-repo main.c welcome.c
    compile migrate catalyst-repo migrate.c
    compile test_welcome catalyst-repo-testing test_welcome.c welcome.c
}

build_with_cmake() {
    cmake -S "$here" -B "$work/cmake" -DCMAKE_C_FLAGS="$(sanitizers)"
    cmake --build "$work/cmake"
}

# Each installed header stands on its own.
headers_are_complete() {
    local header
    cd "$work/prefix/include/catalyst-repo"
    while IFS= read -r header; do
        printf '#include "%s"\n' "$header" >"$work/header.c"
        cc -std=c17 -Wall -Wextra -Werror -fsyntax-only -I. "$work/header.c" </dev/null
    done < <(find base repo -name '*.h')
}

run_example() {
    local expected='user-of-the-example is Ada, labels {"tier":"pro"}' line
    line=$("$1" "$CATALYST_DATABASE_URL" "$schema")
    echo "$line"
    [[ $line == "$expected" ]]
}

check "install under a prefix" install_library
((failed == 0)) || finish || exit 1
find_pc
check "the daemon is installed alone" daemon_comes_alone
check "headers are complete" headers_are_complete
check "build with cc and pkg-config" build_with_cc
check "build with CMake and pkg-config" build_with_cmake
((failed == 0)) || finish || exit 1
check "the unit test, on the recording executor" "$work/test_welcome"
check "the unit test, built by CMake" "$work/cmake/test_welcome"
check "migrations" "$work/migrate" "$CATALYST_DATABASE_URL" "$schema"
check "the example on PostgreSQL" run_example "$work/example"
check "the example on PostgreSQL, again, built by CMake" run_example "$work/cmake/example"
finish
