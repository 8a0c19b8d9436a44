#!/usr/bin/env bash
# Follows CONTRIBUTING's recipes "Add a command" and "Add a record": applies the two patches beside
# this file to a copy of the tree, builds it, runs both new commands end to end on the broker and
# the database of the environment, and counts the source files that each patch touches.
#
# usage: tests/recipe/run.sh     (needs the addresses of deploy/local/stack.sh env)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
copy=$repo/build/recipe/tree
build=$repo/build/recipe/build
worker=$build/worker/catalyst-worker
name=recipe-$$

if [[ -z ${CATALYST_DATABASE_URL:-} || -z ${CATALYST_KAFKA_BOOTSTRAP_SERVERS:-} ]]; then
    # shellcheck disable=SC2016 # the command is shown, not run
    echo 'recipe: start the local stack and take its addresses: eval "$(deploy/local/stack.sh env)"' >&2
    exit 1
fi
export CATALYST_DATABASE_SCHEMA=${name//-/_}
export CATALYST_COMMAND_TOPICS=$name.commands
export CATALYST_AUDIT_TOPIC=$name.events
export CATALYST_GROUP_ID=$name
export CATALYST_HTTP_LISTEN=
export CATALYST_LANES=1

work=$(mktemp -d)
running=
cleanup() {
    if [[ -n $running ]]; then
        kill "$running" 2>/dev/null || true
        wait "$running" 2>/dev/null || true
    fi
    psql -q "$CATALYST_DATABASE_URL" -c "DROP SCHEMA IF EXISTS $CATALYST_DATABASE_SCHEMA CASCADE" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

# shellcheck source=tests/tools/checks.sh
. "$repo/tests/tools/checks.sh"

# The tracked files as they are in the working tree, with their times, so that a second run builds
# only what changed. Files that an earlier run added go.
copy_tree() {
    rm -rf "$copy"
    mkdir -p "$copy"
    cd "$repo"
    git ls-files -z | while IFS= read -r -d '' file; do
        [[ ! -f $file ]] || printf '%s\0' "$file"
    done | tar -c --null -T - | tar -x -C "$copy"
}

# A table needs a migration: its number is the next one, and CMake lists it.
add_migration() {
    local schema=$copy/repo/schema last number
    last=$(find "$schema/migrations" -name '[0-9]*.sql' -printf '%f\n' | sort | tail -n 1)
    number=$(printf '%04d' $((10#${last%%_*} + 1)))
    cp "$here/devices.sql" "$schema/migrations/${number}_devices.sql"
    sed -i "s|migrations/$last|&\n    migrations/${number}_devices.sql|" "$schema/CMakeLists.txt"
    grep -q "${number}_devices" "$schema/CMakeLists.txt"
}

# Documents, tests, CMake lists and migrations do not count; a .c with its .h counts as one.
source_files() {
    sed -n 's|^+++ b/||p' "$1" | grep -vE '^(docs|tests)/|CMakeLists|/migrations/|\.md$' |
        sed -E 's/\.[ch]$//' | sort -u
}

touches_at_most() {
    local count
    count=$(source_files "$here/$1" | wc -l)
    source_files "$here/$1"
    echo "$count files"
    ((count > 0 && count <= $2))
}

build_tree() {
    cmake -S "$copy" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DBUILD_TESTING=OFF -DWORKER_WERROR=ON
    cmake --build "$build" --target catalyst-worker
}

publish_commands() {
    "$worker" publish <<'COMMANDS'
{"type":"dev.catalyst.identity.user.upsert.v1","id":"r1","source":"recipe","data":{"id":"u1","authentikId":"a","email":"u1@example.com"}}
{"type":"dev.catalyst.identity.user.remove.v1","id":"r2","source":"recipe","data":{"id":"u1"}}
{"type":"dev.catalyst.identity.user.remove.v1","id":"r3","source":"recipe","data":{"id":"u1"}}
{"type":"dev.catalyst.identity.device.upsert.v1","id":"r4","source":"recipe","data":{"id":"d1","userId":"u2","name":"phone"}}
{"type":"dev.catalyst.identity.device.upsert.v1","id":"r5","source":"recipe","data":{"id":"d1","userId":"u2","labels":{"colour":"red"}}}
COMMANDS
}

# A removal of the second kind is rejected; so each line of the answer is one command's.
answers_arrive() {
    timeout 60 "$worker" tail --topic audit --from beginning --count 5 --output json >"$work/events"
    jq -r '[.headers.ce_causationid, .data.action, .data.outcome, (.data.error.code // "-")] | join(" ")' \
        "$work/events" | sort >"$work/answers"
    diff - "$work/answers" <<'ANSWERS'
r1 user.created applied -
r2 user.removed applied -
r3 user.removed rejected user.postgres.not_found
r4 device.created applied -
r5 device.updated applied -
ANSWERS
}

rows_are_right() {
    local status=0
    "$worker" show device d1 | tee "$work/device"
    jq -e '. == {"id": "d1", "userId": "u2", "labels": {"colour": "red"}}' "$work/device"
    "$worker" show user u1 || status=$?
    ((status == 66))
}

check "a copy of the tree" copy_tree
check "the patch that adds a command applies" patch -p1 -d "$copy" -i "$here/add_a_command.patch"
check "the patch that adds a record applies" patch -p1 -d "$copy" -i "$here/add_a_record.patch"
check "a migration for its table" add_migration
check "a command on an existing record: at most four source files" touches_at_most add_a_command.patch 4
check "a record with its table: at most eight source files" touches_at_most add_a_record.patch 8
check "it builds without a warning" build_tree
((failed == 0)) || finish || exit 1
psql -q "$CATALYST_DATABASE_URL" -c "CREATE SCHEMA IF NOT EXISTS $CATALYST_DATABASE_SCHEMA"
check "schema and topics" "$worker" migrate up --topics
check "the new commands are published" publish_commands
"$worker" run >"$work/worker.log" 2>&1 &
running=$!
check "each has its audit event" answers_arrive
check "the rows are as the commands say" rows_are_right
finish
