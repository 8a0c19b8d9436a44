#!/usr/bin/env bash
# hardening.sh PROGRAM BUILD_TYPE: whether the program has what CMakeLists.txt hardens it with.
set -euo pipefail

program=$1
build_type=$2
missing=0

# has WHAT PATTERN: a line of $facts matches
has() {
    if ! grep -E -- "$2" <<<"$facts" >/dev/null; then
        echo "missing: $1"
        missing=$((missing + 1))
    fi
}

facts=$(LC_ALL=C readelf --wide --file-header --segments --dynamic --notes --dyn-syms "$program")
has "position-independent executable" 'Type:.*(DYN|PIE)'
has "relocations read-only" 'GNU_RELRO'
has "all symbols bound at start" 'BIND_NOW|NOW PIE|Flags: NOW'
has "no executable stack" 'GNU_STACK.* RW '
has "stack protector" '__stack_chk_fail'
# Control-flow protection is compiled in but not looked for: Debian's start files lack it, so no program
# is marked with it.
if [[ $build_type =~ ^(Release|RelWithDebInfo|MinSizeRel)$ ]]; then
    has "checked string functions" '__[a-z]+_chk'
fi
exit $((missing > 0))
