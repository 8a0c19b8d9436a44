#!/usr/bin/env bash
# Everything that can be said about the sources without running them. One line per check, what was
# found below it, and a closing count. A tool that is missing is a failed check, never a skipped one.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repo"

usage() {
    cat <<'EOF'
usage: tests/lint.sh [--build DIR] [CHECK...]

Checks the files that git tracks. CHECK: format tidy cppcheck shell python-format python layering
banned placeholders portable man; default: all. DIR holds compile_commands.json; default: build/dev.
EOF
}

build=build/dev
checks=()
while (($# > 0)); do
    case $1 in
    --build)
        (($# >= 2)) || {
            usage >&2
            exit 64
        }
        build=$2
        shift 2
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    format | tidy | cppcheck | shell | python-format | python | layering | banned | placeholders | portable | man)
        checks+=("$1")
        shift
        ;;
    *)
        usage >&2
        exit 64
        ;;
    esac
done
((${#checks[@]} > 0)) ||
    checks=(format tidy cppcheck shell python-format python layering banned placeholders portable man)

# tracked PATTERN...: tracked files that are there.
tracked() {
    local file
    git ls-files -z -- "$@" | while IFS= read -r -d '' file; do
        [[ ! -f $file ]] || printf '%s\n' "$file"
    done
}

mapfile -t all < <(tracked)
mapfile -t c_and_headers < <(tracked '*.c' '*.h')
mapfile -t c_files < <(tracked '*.c')
mapfile -t python_files < <(tracked '*.py')
mapfile -t man_pages < <(tracked '*.[1-8]' '*.[1-8].in')
mapfile -t shell_scripts < <(
    for file in "${all[@]}"; do
        if [[ $file == *.sh ]] || head -c 64 "$file" | head -n 1 | tr -d '\0' | grep -E '^#!.*[/ ](ba|da)?sh\b' >/dev/null; then
            printf '%s\n' "$file"
        fi
    done
)

need() {
    command -v "$1" >/dev/null || {
        echo "$1 is missing: run deploy/local/install.sh test"
        return 1
    }
}

# Versions of our own: what they want differs from one to the next.
venv=${CATALYST_CACHE:-$repo/build}/venv

need_python_tools() {
    local tool
    for tool in ruff mypy; do
        need "$venv/bin/$tool" || return
    done
}

need_build() {
    [[ -s $build/compile_commands.json ]] || {
        echo "$build/compile_commands.json is missing: configure first (cmake --preset dev), or name the directory with --build"
        return 1
    }
}

# Another version formats differently: a difference of taste must not fail the build.
check_format() {
    need clang-format || return
    [[ $(clang-format --version) == *'version 14.'* ]] || {
        echo "clang-format 14 is wanted, this is: $(clang-format --version)"
        return 1
    }
    clang-format --dry-run -Werror -ferror-limit=1 "${c_and_headers[@]}" 2>&1 |
        sed -n 's/: error: code should be clang-formatted.*/: run clang-format -i on it/p'
    return "${PIPESTATUS[0]}"
}

check_tidy() {
    need clang-tidy && need clang && need_build || return
    python3 tests/tools/tidy.py "$build" "${c_files[@]}"
}

check_cppcheck() {
    need cppcheck && need_build || return
    mkdir -p "$build/cppcheck"
    cppcheck -q -j 2 --project="$build/compile_commands.json" --cppcheck-build-dir="$build/cppcheck" \
        --enable=warning,style,performance,portability --std=c11 --library=posix --inline-suppr \
        --suppressions-list=tests/tools/cppcheck.suppressions --error-exitcode=1 \
        --template='{file}:{line}: {severity}: {message} [{id}]'
}

check_shell() {
    need shellcheck || return
    local status=0
    shellcheck --external-sources "${shell_scripts[@]}" || status=1
    if grep -nHE '\| *grep -[a-zA-Z]*q' "${shell_scripts[@]}"; then
        echo "grep -q leaves a pipe early, and pipefail fails it: grep ... >/dev/null, or grep -q ... <(...)"
        status=1
    fi
    return "$status"
}

check_python-format() {
    need_python_tools || return
    "$venv/bin/ruff" format --no-cache --check --output-format concise --config tests/ruff.toml \
        "${python_files[@]}" | sed -n 's/: unformatted:.*/: run ruff format --config tests\/ruff.toml on it/p'
    return "${PIPESTATUS[0]}"
}

check_python() {
    need_python_tools || return
    local status=0
    "$venv/bin/ruff" check --no-cache -q --config tests/ruff.toml --output-format concise "${python_files[@]}" || status=1
    "$venv/bin/mypy" --config-file tests/mypy.ini --no-error-summary "${python_files[@]}" || status=1
    return "$status"
}

check_layering() { python3 tests/tools/source_rules.py layering "${c_and_headers[@]}"; }
check_banned() { python3 tests/tools/source_rules.py banned "${c_and_headers[@]}"; }
check_placeholders() { python3 tests/tools/source_rules.py placeholders "${all[@]}"; }
check_portable() { python3 tests/tools/source_rules.py portable "${all[@]}"; }

# groff says on standard error what it cannot make sense of, and exits 0 all the same.
check_man() {
    need groff || return
    local page said status=0
    for page in "${man_pages[@]}"; do
        said=$(groff -man -Tutf8 -ww -rF0 -z "$page" 2>&1) || status=1
        if [[ -n $said ]]; then
            printf '%s\n' "$said"
            status=1
        fi
    done
    return "$status"
}

describe() {
    case $1 in
    format) echo "clang-format, ${#c_and_headers[@]} files" ;;
    tidy) echo "clang-tidy, ${#c_files[@]} files" ;;
    cppcheck) echo "cppcheck, all of $build/compile_commands.json" ;;
    shell) echo "shellcheck, ${#shell_scripts[@]} scripts" ;;
    python-format) echo "ruff format, ${#python_files[@]} files" ;;
    python) echo "ruff and mypy, ${#python_files[@]} files" ;;
    layering) echo "includes follow the layers" ;;
    banned) echo "no banned functions" ;;
    placeholders) echo "nothing is marked unfinished" ;;
    portable) echo "no machine's paths, no registry hosts" ;;
    man) echo "groff, ${#man_pages[@]} man pages" ;;
    esac
}

passed=0
failed=0
need python3 >&2
((${#c_files[@]} > 0)) || {
    echo "git tracks no C file in $repo: nothing was checked" >&2
    exit 1
}
for check in "${checks[@]}"; do
    since=$SECONDS
    if found=$("check_$check" 2>&1); then
        printf 'ok    %s: %s (%d s)\n' "$check" "$(describe "$check")" "$((SECONDS - since))"
        passed=$((passed + 1))
    else
        printf 'FAIL  %s: %s (%d s)\n' "$check" "$(describe "$check")" "$((SECONDS - since))"
        printf '%s\n' "$found" | sed 's/^/      /'
        failed=$((failed + 1))
    fi
done
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
