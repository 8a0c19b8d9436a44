#!/usr/bin/env bash
# A check that cannot fail checks nothing: plants one violation of each kind in a small tree of its
# own and sees that tests/lint.sh finds it, and that it is content before.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

mkdir -p "$tree/tests/tools" "$tree/base" "$tree/docs" "$tree/build/dev"
cp "$repo/tests/lint.sh" "$tree/tests/"
cp "$repo"/tests/tools/{source_rules.py,tidy.py,cppcheck.suppressions} "$tree/tests/tools/"
cp "$repo"/tests/{ruff.toml,mypy.ini} "$tree/tests/"
export CATALYST_CACHE=${CATALYST_CACHE:-$repo/build}
cp "$repo/.clang-format" "$repo/.clang-tidy" "$tree/"
cd "$tree"

cat >base/sample.h <<'EOF'
#pragma once

int sample_twice(int number);
EOF
cat >base/sample.c <<'EOF'
#include "base/sample.h"

int sample_twice(int number)
{
    return number * 2;
}
EOF
cat >docs/sample.1 <<'EOF'
.TH SAMPLE 1
.SH NAME
sample \- a page
EOF
cat >sample.sh <<'EOF'
#!/usr/bin/env bash
echo "$1"
EOF
cat >sample.py <<'EOF'
def twice(number: int) -> int:
    return number * 2
EOF
echo 'A place for notes.' >notes.md
cat >build/dev/compile_commands.json <<EOF
[{"directory": "$tree", "file": "base/sample.c",
  "command": "gcc -std=c17 -I. -Wall -Wextra -Wduplicated-cond -Werror -o sample.o -c base/sample.c"}]
EOF
printf '/build/\n' >.gitignore
git init -q .
git add -A
git -c user.name=lint -c user.email=lint@localhost commit -q -m sample

passed=0
failed=0
verdict() {
    printf '%-5s %s\n' "$1" "$2"
    if [[ $1 == ok ]]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# catches CHECK WORDS FILE TEXT: with TEXT appended to FILE, CHECK fails and says WORDS.
catches() {
    local check=$1 words=$2 file=$3 text=$4 said
    mkdir -p "$(dirname "$file")"
    printf '%s\n' "$text" >>"$file"
    git add -A
    if said=$(tests/lint.sh "$check" 2>&1); then
        verdict FAIL "$check lets pass: $words"
    elif [[ $said != *"$words"* ]]; then
        verdict FAIL "$check fails, but does not say: $words"
        printf '%s\n' "$said" | sed 's/^/      /'
    else
        verdict ok "$check: $words"
    fi
    git reset -q --hard
    git clean -q -f -d
}

if said=$(tests/lint.sh 2>&1); then
    verdict ok "a clean tree passes"
else
    verdict FAIL "a clean tree does not pass"
    printf '%s\n' "$said" | sed 's/^/      /'
fi

catches format 'base/sample.c:' base/sample.c 'int  sample_zero( void );'
catches tidy 'bugprone-sizeof-expression' base/sample.c '
unsigned long sample_size(const int *numbers);
unsigned long sample_size(const int *numbers)
{
    return sizeof(numbers) / sizeof(numbers[0]) + sizeof(sizeof(int));
}'
catches tidy '[clang-diagnostic-vla' base/sample.c '
int sample_vla(int count);
int sample_vla(int count)
{
    int numbers[count];
    numbers[0] = 1;
    return numbers[0];
}'
catches tidy 'clang-diagnostic-unused-variable' base/sample.c '
void sample_unused(void);
void sample_unused(void)
{
    int number = 1;
}'
catches tidy 'base/sample.h:' base/sample.h '
static inline unsigned long sample_header(void)
{
    return sizeof(sizeof(int));
}'
catches cppcheck '[arrayIndexOutOfBounds]' base/sample.c '
int sample_past(void);
int sample_past(void)
{
    int numbers[2] = {0, 1};
    return numbers[2];
}'
# shellcheck disable=SC2016 # not to be expanded here
unquoted='echo $2'
catches shell 'SC2086' sample.sh "$unquoted"
printf '#!/bin/sh\n' >shebang && git add -A && git -c user.name=l -c user.email=l@localhost commit -q -m shebang
catches shell 'SC2086' shebang "$unquoted"
# shellcheck disable=SC2016 # not to be expanded here
catches shell 'leaves a pipe early' sample.sh 'cat "$1" | grep'" -q x"
catches python-format 'sample.py:' sample.py 'three = { 3 }'
catches python 'F401' sample.py 'import os'
catches python 'B006' sample.py '

def keep(number: int, kept: list[int] = []) -> None:
    kept.append(number)'
catches python '[return-value]' sample.py '

def half(number: int) -> int:
    return number / 2'
catches python '[no-untyped-def]' sample.py '

def thrice(number):
    return number * 3'
catches layering 'base must not include "repo/sample.h"' base/sample.c '#include "repo/sample.h"'
catches layering 'repo must not include "events/sample.h"' repo/sample.c '#include "events/sample.h"'
catches layering 'repo must not include "config/sample.h"' repo/sample.c '#include "config/sample.h"'
catches layering 'events must not include "repo/sample.h"' events/sample.c '#include "repo/sample.h"'
catches layering 'worker/lane must not include "repo/sample.h"' worker/lane/sample.c '#include "repo/sample.h"'
catches layering 'worker/lane must not include "worker/kafka/sample.h"' worker/lane/sample.c '#include "worker/kafka/sample.h"'
catches layering 'worker/kafka must not include "worker/apply/sample.h"' worker/kafka/sample.c '#include "worker/apply/sample.h"'
catches layering 'worker/daemon must not include "worker/cli/sample.h"' worker/daemon/sample.c '#include "worker/cli/sample.h"'
catches layering 'repo/pg must not include "repo/sample.h"' repo/pg/sample.c '#include "repo/sample.h"'
catches layering 'events/wire must not include "events/sample.h"' events/wire/sample.c '#include "events/sample.h"'
catches layering 'is not rooted' base/sample.c '#include "sample.h"'
catches layering 'must not include' base/sample.c '#include "base/../repo/sample.h"'
catches layering '<libpq-fe.h> stays in' repo/sample.c '#include <libpq-fe.h>'
catches layering '<librdkafka/rdkafka.h> stays in' worker/lane/lane.c '#include <librdkafka/rdkafka.h>'
catches layering '<msgpack.h> stays in' repo/sample.c '#include <msgpack.h>'
for name in strcpy strcat sprintf strtok atoi alloca gets; do
    catches banned "$name is banned" base/sample.c "void *sample_$name(void) { return $name(\"\"); }"
done
catches banned 'ends the process' worker/lane/lane.c 'void lane(void) { exit(1); }'
catches placeholders 'marks unfinished' base/sample.c '/* TO''DO later */'
catches placeholders 'marks unfinished' notes.md 'FIX''ME: say more'
catches portable 'a path of one machine' notes.md "see /wo""rk/main"
catches portable 'a path of one machine' sample.sh "cat /ho""me/someone/file"
catches portable 'package registry' sample.sh 'curl https://py''pi.org/simple'
catches portable 'outside the repository' notes.md 'see ..''/shared/DESIGN.md'
catches man 'sample.1' docs/sample.1 '.XYZ nonsense'

# A tool that is not there fails its check.
empty=$(mktemp -d)
for tool in bash git python3 grep sed head tr dirname; do
    ln -s "$(command -v "$tool")" "$empty/$tool"
done
if said=$(CATALYST_CACHE=$empty PATH=$empty tests/lint.sh cppcheck shell man format tidy python-format python 2>&1) ||
    [[ $(grep -c 'is missing: run' <<<"$said") != 7 ]]; then
    verdict FAIL "missing tools pass unnoticed"
else
    verdict ok "missing tools fail loudly"
fi
rm -rf "$empty"

printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
