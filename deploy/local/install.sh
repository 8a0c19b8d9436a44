#!/usr/bin/env bash
# Installs on Debian 12 what the project needs beyond its own sources, and only what is missing:
# Debian packages (as root), the jars of a Kafka broker, and for the tests a Python environment,
# Toxiproxy and CloudEvents' SDKs of four languages.
# The second run checks and returns in well under a second.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
cache=${CATALYST_CACHE:-$repo/build}

usage() {
    cat <<'EOF'
usage: install.sh run|test|bench

  run    what it takes to build the worker and to run it on a local stack
  test   that, and what tests/run.sh and tests/lint.sh use
  bench  the same: what tests/bench/run.sh compares with is built with what the tests use

CATALYST_CACHE names the directory of what is fetched (kafka/, venv/, toxiproxy/, sdks/); default: build/ in
the repository.
EOF
}

say() { printf 'install: %s\n' "$*"; }

die() {
    printf 'install: %s\n' "$*" >&2
    exit 1
}

# A name that is followed by :COMMAND is not installed where COMMAND is there already, whatever
# package brought it.
run_packages=(
    gcc libc6-dev cmake:cmake ninja-build:ninja pkg-config:pkg-config
    libpq-dev librdkafka-dev libmsgpack-dev libmicrohttpd-dev libjansson-dev libssl-dev
    postgresql-15 # brings the contrib modules too
    openjdk-17-jre-headless:java maven:mvn
    python3 python3-venv
    ca-certificates curl:curl git:git jq:jq procps:ps util-linux:setpriv
)
test_packages=(
    libcmocka-dev
    # libclang-rt-14-dev: clang's sanitizers and libFuzzer; llvm: names in their reports
    clang:clang clang-tidy:clang-tidy clang-format:clang-format libclang-rt-14-dev
    llvm:llvm-symbolizer
    cppcheck:cppcheck shellcheck:shellcheck gcovr:gcovr spin:spin
    man-db:man groff:groff
    nodejs:node npm:npm
    golang-go:go libfaketime pgbouncer
    openjdk-17-jdk-headless:javac
)

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

missing_packages() {
    local entry
    for entry in "$@"; do
        if [[ $entry == *:* ]] && command -v "${entry#*:}" >/dev/null; then
            continue
        fi
        installed "${entry%%:*}" || printf '%s\n' "${entry%%:*}"
    done
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=120 "$@" >>"$log" 2>&1
}

# Debian would make and start a cluster named main on port 5432. The project makes its own, so the
# default is switched off for as long as the installation takes.
without_main_cluster() {
    local drop_in=/etc/postgresql-common/createcluster.d/zz-catalyst-install.conf
    mkdir -p "${drop_in%/*}"
    trap 'rm -f /etc/postgresql-common/createcluster.d/zz-catalyst-install.conf' EXIT
    echo 'create_main_cluster = false' >"$drop_in"
    "$@"
    rm -f "$drop_in"
    trap - EXIT
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]} > 0)) || return 0
    command -v apt-get >/dev/null || die "not a Debian system; install by hand: ${missing[*]}"
    ((EUID == 0)) || die "Debian packages are missing: ${missing[*]}; run as root: $0 $level"
    say "Debian packages: ${missing[*]}"
    apt update || die "apt-get update failed, is the package mirror reachable? See $log"
    without_main_cluster apt install --no-install-recommends "${missing[@]}" ||
        die "apt-get install failed, see $log; needed: ${missing[*]}"
    mapfile -t missing < <(missing_packages "${missing[@]}")
    ((${#missing[@]} == 0)) || die "still missing after apt-get install: ${missing[*]}; see $log"
}

# Debian's own interpreter, so that python3-venv fits it.
python=/usr/bin/python3

retry() {
    local attempt
    for attempt in 1 2 3; do
        if "$@" >>"$log" 2>&1; then
            return 0
        fi
        say "attempt $attempt failed: $1"
        sleep "$attempt"
    done
    return 1
}

content_hash() { cat "$@" | sha256sum | cut -c 1-64; }

install_kafka() {
    local hash
    hash=$(content_hash "$here/pom.xml")
    [[ $(cat "$cache/kafka/.stamp" 2>/dev/null) != "$hash" ]] || return 0
    say "the jars of Kafka"
    rm -rf "$cache/kafka.new"
    retry mvn -B -q -f "$here/pom.xml" -Dkafka.jars="$cache/kafka.new" package ||
        die "Maven could not fetch Kafka's jars, is Maven Central reachable? See $log"
    compgen -G "$cache/kafka.new/kafka_2.13-*.jar" >/dev/null || die "Maven fetched no Kafka; see $log"
    echo "$hash" >"$cache/kafka.new/.stamp"
    rm -rf "$cache/kafka"
    mv "$cache/kafka.new" "$cache/kafka"
}

install_venv() {
    local requirements=$repo/tests/tools/requirements.txt hash
    hash=$("$python" --version | cat - "$requirements" | sha256sum | cut -c 1-64)
    [[ $(cat "$cache/venv/.stamp" 2>/dev/null) != "$hash" ]] || return 0
    say "Python packages of the tests"
    rm -rf "$cache/venv"
    "$python" -m venv "$cache/venv" >>"$log" 2>&1 || die "python3 -m venv failed; see $log"
    retry "$cache/venv/bin/pip" install --disable-pip-version-check -q --only-binary :all: \
        -r "$requirements" || die "pip install failed, is PyPI reachable? See $log"
    echo "$hash" >"$cache/venv/.stamp"
}

# The newest that Debian 12's Go still builds.
toxiproxy_version=v2.8.0

install_toxiproxy() {
    [[ $(cat "$cache/toxiproxy/.stamp" 2>/dev/null) != "$toxiproxy_version" ]] || return 0
    say "Toxiproxy"
    mkdir -p "$cache/toxiproxy"
    retry env GOTOOLCHAIN=local GOFLAGS= GOBIN="$cache/toxiproxy" \
        go install "github.com/Shopify/toxiproxy/v2/cmd/server@$toxiproxy_version" ||
        die "Go could not build Toxiproxy, is the Go module proxy reachable? See $log"
    mv "$cache/toxiproxy/server" "$cache/toxiproxy/toxiproxy-server"
    echo "$toxiproxy_version" >"$cache/toxiproxy/.stamp"
}

install_python_sdk() {
    retry "$python" -m pip install --disable-pip-version-check -q --only-binary :all: --upgrade \
        --target "$1/python" -r "$sdks/python/requirements.txt"
}

install_node_sdk() {
    mkdir -p "$1/node"
    cp "$sdks/node/package.json" "$1/node/"
    (cd "$1/node" && retry npm install --no-audit --no-fund --silent)
}

install_java_sdk() { retry mvn -B -q -f "$sdks/java/pom.xml" -Dsdk.jars="$1/java" package; }

install_go_sdk() {
    (cd "$sdks/go" && retry env GOTOOLCHAIN=local GOFLAGS=-mod=readonly go build -o "$1/go/sdk" .)
}

# What tests/e2e/test_sdks.py runs.
sdks=$repo/tests/sdks

install_sdks() {
    local hash new=$cache/sdks.new language
    hash=$(content_hash "$sdks"/python/requirements.txt "$sdks"/node/package.json "$sdks"/java/pom.xml \
        "$sdks"/go/go.mod "$sdks"/go/go.sum "$sdks"/go/main.go)
    [[ $(cat "$cache/sdks/.stamp" 2>/dev/null) != "$hash" ]] || return 0
    say "CloudEvents' SDKs"
    rm -rf "$new"
    mkdir -p "$new"
    for language in python node java go; do
        "install_${language}_sdk" "$new" ||
            die "the $language SDK of CloudEvents is not to be had, is its registry reachable? See $log"
    done
    echo "$hash" >"$new/.stamp"
    rm -rf "$cache/sdks"
    mv "$new" "$cache/sdks"
}

level=${1:-}
case $level in
run | test | bench) ;;
-h | --help | help)
    usage
    exit 0
    ;;
*)
    usage >&2
    exit 64
    ;;
esac

mkdir -p "$cache"
log=$cache/install.log
exec 9>"$cache/.install.lock"
flock -w 600 9 || die "another install.sh is at work in $cache"

packages=("${run_packages[@]}")
if [[ $level != run ]]; then
    packages+=("${test_packages[@]}")
fi
install_packages "${packages[@]}"
install_kafka
if [[ $level != run ]]; then
    install_venv
    install_toxiproxy
    install_sdks
fi
