# shellcheck shell=bash
# To be sourced: check WHAT COMMAND... runs a command and tells how it went; finish tells the sum, and
# fails when a check did. The command's output is kept in $work/log.

: "${work:?names a directory for the output}"

passed=0
failed=0
check() {
    local what=$1 status
    shift
    # Not as the condition of an if: there, a failure in the middle of a function goes unnoticed.
    set +e
    (
        set -e
        "$@"
    ) >"$work/log" 2>&1
    status=$?
    set -e
    if ((status == 0)); then
        passed=$((passed + 1))
        echo "ok      $what"
    else
        failed=$((failed + 1))
        echo "FAILED  $what"
        sed 's/^/        /' "$work/log"
    fi
}

finish() {
    echo "$passed passed, $failed failed"
    ((failed == 0))
}
