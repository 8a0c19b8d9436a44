#!/usr/bin/env bash
# The benchmark: installs what is missing, builds, starts a broker and a database of its own, runs
# everything interleaved, and prints medians, ratios and goals. The last line is "N passed, N failed":
# how many cells were measured. How fast something is fails nothing.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$repo"
build=$repo/build/bench

usage() {
    cat <<'EOT'
usage: tests/bench/run.sh [--quick] [--mix MIX]... [--minutes M] [--rounds N]
                          [--librdkafka debian|current]...
                          [--only throughput|batches|latency|scaling|growth]...
                          [--commands N] [--rows N] [--ids ordered|random]...
                          [--partitioned [day|week|month]] [--pg NAME=VALUE]...
                          [--charts DIR] [--build DIR] [--vs DIR]

  --quick        at most three minutes, small counts: does everything still measure?
  --mix          a, b-uniform, b-zipf, b-ten, c or d; all unless given (with --quick: a and d)
  --minutes      as many rounds as fit; default 20. Growth comes on top, about 15 minutes
  --rounds       so many at least, however long they take; growth: so many, default 3
  --librdkafka   Debian's, or the newer one of the tests' Python environment; both unless given
  --only         only this part; all unless given
  --commands     in each cell of throughput (default 200000), scaling and growth (100000)
  --rows         growth: keys, and audit rows, in the full tables; default 10000000, which takes
                 25 GB of disk for the time
  --ids          growth: ids that begin with their time, or random ones; both unless given
  --pg           a setting of PostgreSQL's: --pg shared_buffers=6GB
  --partitioned  the audit log in partitions, by month unless said otherwise
  --vs DIR       only this: the worker of another build directory and ours in turn, in pairs (--rounds,
                 default 9), and the ratio of their medians
  --charts DIR   write the plots there (docs/images, say); else beside the results
  --build DIR    measure what is built there, whatever its optimisation, and without the peers:
                 for trying the benchmark itself

Results: build/bench/results/*.json. docs/benchmarks.md tells what the cells are.
EOT
}

built=
options=()
while (($# > 0)); do
    case $1 in
    -h | --help | help)
        usage
        exit 0
        ;;
    --build)
        (($# >= 2)) || {
            usage >&2
            exit 64
        }
        built=$2
        shift
        ;;
    *) options+=("$1") ;;
    esac
    shift
done

say() { printf 'bench: %s\n' "$*"; }

die() {
    printf 'bench: %s\n0 passed, 1 failed\n' "$*"
    exit 1
}

# The peer in Go is built by its own tools, when there are recent ones: Debian 12's are too old for
# its libraries.
peers=()
build_go_peer() {
    local wanted have
    wanted=$(sed -n 's/^go //p' tests/bench/peer_go/go.mod)
    if ! command -v go >/dev/null; then
        say "no Go: the Go peer is left out (it needs Go $wanted or newer)"
        return 0
    fi
    have=$(GOTOOLCHAIN=local go env GOVERSION)
    have=${have#go}
    if [[ $(printf '%s\n' "$wanted" "$have" | sort -V | head -n 1) != "$wanted" ]]; then
        say "Go $have: the Go peer is left out (it needs Go $wanted or newer)"
        return 0
    fi
    (cd tests/bench/peer_go && GOTOOLCHAIN=local go build -o "$build/peer_go" .) >"$build/peer_go.log" 2>&1 ||
        die "the Go peer does not build; see build/bench/peer_go.log"
    peers+=(--peer-go "$build/peer_go")
}

# Its jars are those that its pom.xml names; Maven is asked again when that changes.
compile_java_peer() {
    local source=$repo/tests/bench/peer_java home=$build/peer_java hash
    hash=$(sha256sum <"$source/pom.xml")
    if [[ $(cat "$home/jars/.stamp" 2>/dev/null) != "$hash" ]]; then
        rm -rf "$home/jars"
        mvn -B -q -f "$source/pom.xml" -Dpeer.jars="$home/jars" package || return
        echo "$hash" >"$home/jars/.stamp"
    fi
    rm -rf "$home/classes"
    javac -Xlint:all -Werror --release 17 -cp "$home/jars/*" -d "$home/classes" "$source"/peer/*.java
}

# The peer in Java takes a JDK, which nothing else here does: only this part is left out without one.
build_java_peer() {
    local have
    command -v javac >/dev/null || deploy/local/install.sh bench >>"$build/install.log" 2>&1 || true
    have=$(javac -version 2>/dev/null | sed -n 's/^javac \([0-9]*\).*/\1/p') || true
    if ((${have:-0} < 17)); then
        say "no JDK for Java 17 or newer: the Java peer is left out (Debian: openjdk-17-jdk-headless)"
        return 0
    fi
    compile_java_peer >"$build/peer_java.log" 2>&1 ||
        die "the Java peer does not build; see build/bench/peer_java.log"
    peers+=(--peer-java "$build/peer_java")
}

build_all() {
    say "building"
    {
        cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=ON &&
            ninja -C "$build" catalyst-worker tests/bench/all
    } >"$build/build.log" 2>&1 || die "the build is broken; see build/bench/build.log"
    build_go_peer
    build_java_peer
}

mkdir -p "$build"
say "installing what is missing"
deploy/local/install.sh test >"$build/install.log" 2>&1 ||
    die "what the project needs is not there; run as root, see build/bench/install.log"
[[ -n $built ]] || build_all
exec build/venv/bin/python tests/bench/driver.py --build "$build" --programs "${built:-$build}" "${peers[@]}" "${options[@]}"
