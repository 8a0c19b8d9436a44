#!/usr/bin/env bash
# A real Kafka broker (KRaft, one node) and a PostgreSQL 15 cluster of the project's own, on free
# loopback ports, with everything they write under one directory. See README.md beside this file.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
cache=${CATALYST_CACHE:-$repo/build}
jars=$cache/kafka

kafka_start_seconds=120 # ten times what it takes: after a SIGKILL, on a machine with no time for it
postgres_start_seconds=30
stop_seconds=20

usage() {
    cat <<'EOF'
usage: stack.sh COMMAND [--dir DIR] [--pg NAME=VALUE]... [--kafka NAME=VALUE]...

  start              start what is not running; the first time, make the data
  stop               stop both; the data stays
  destroy            stop both and delete DIR
  status             what runs, where; exit 0: both run, 3: not both
  env                shell exports for the worker and the tests: eval "$(stack.sh env)"
  restart-kafka      stop-kafka, start-kafka           (same port, same data)
  start-kafka  stop-kafka  kill-kafka                  (kill: SIGKILL)
  restart-postgres   stop-postgres, start-postgres     (same port, same data)
  start-postgres  stop-postgres  kill-postgres         (stop: fast, kill: immediate)

  --dir DIR          where everything is kept; default $STACK_DIR, else .stack in the repository
  --pg NAME=VALUE    a PostgreSQL setting, kept for later starts: --pg shared_buffers=1GB
  --kafka NAME=VALUE a setting of the broker, kept as well: --kafka message.max.bytes=2097152

$KAFKA_HEAP_OPTS and $KAFKA_JVM_PERFORMANCE_OPTS are the broker's JVM's, as in Kafka's own scripts.
EOF
}

say() { printf 'stack: %s\n' "$*"; }

die() {
    printf 'stack: %s\n' "$*" >&2
    exit 1
}

# --- processes ---------------------------------------------------------------------------------

# Start time of a process in clock ticks since boot, or nothing. The name in /proc/PID/stat may
# hold spaces and parentheses, so fields are counted after the last one.
process_start() {
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
    # shellcheck disable=SC2086 # split into fields on purpose
    set -- ${line##*) }
    # A zombie holds no port and no file any more.
    [[ $1 != Z ]] || return 0
    printf '%s' "${20}"
}

# Prints the pid in $dir/NAME.pid if that very process still runs: a pid that the kernel has given
# to another program since then has another start time.
running_pid() {
    local pid started
    [[ -r $dir/$1.pid ]] || return 1
    read -r pid started <"$dir/$1.pid" || return 1
    [[ -n $started && $(process_start "$pid") == "$started" ]] || return 1
    printf '%s' "$pid"
}

# launch NAME COMMAND...: runs it in a session of its own, log in $logs/NAME.log, pid in NAME.pid.
launch() {
    local name=$1
    shift
    rm -f "$dir/$name.pid"
    # shellcheck disable=SC2016 # expanded by the inner shell
    setsid bash -c '
        read -r line <"/proc/$$/stat"
        set -- "$1" "${line##*) }" "${@:2}"
        read -r -a field <<<"$2"
        printf "%s %s\n" "$$" "${field[19]}" >"$1.tmp" && mv "$1.tmp" "$1"
        shift 2
        exec "$@"
    ' launch "$dir/$name.pid" "$@" </dev/null >>"$logs/$name.log" 2>&1 9>&- &
    disown
    local i
    for ((i = 0; i < 100; i++)); do
        [[ ! -s $dir/$name.pid ]] || return 0
        sleep 0.02
    done
    die "$name did not start; see $logs/$name.log"
}

# end NAME SIGNAL [FALLBACK]: ends our process and waits until it is gone.
end() {
    local name=$1 pid i
    if ! pid=$(running_pid "$name"); then
        rm -f "$dir/$name.pid"
        return 0
    fi
    kill -s "$2" "$pid" 2>/dev/null || true
    for ((i = 0; i < stop_seconds * 20; i++)); do
        if ! running_pid "$name" >/dev/null; then
            rm -f "$dir/$name.pid"
            return 0
        fi
        sleep 0.05
    done
    [[ -n ${3:-} ]] || die "$name (pid $pid) did not end within $stop_seconds s of SIG$2; see $logs/$name.log"
    say "$name (pid $pid) did not end within $stop_seconds s of SIG$2, sending SIG$3"
    end "$name" "$3"
}

# --- ports -------------------------------------------------------------------------------------

port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A free port below the range from which the kernel takes client ports: a client that keeps dialling
# a stopped broker inside that range can end up connected to itself and hold the port.
free_port() {
    local low port i
    read -r low _ </proc/sys/net/ipv4/ip_local_port_range
    ((low > 21000)) || low=61000
    for ((i = 0; i < 100; i++)); do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % (low - 20000)))
        case " $* " in *" $port "*) continue ;; esac
        if ! port_answers "$port"; then
            printf '%s' "$port"
            return 0
        fi
    done
    die "found no free loopback port"
}

# --- layout ------------------------------------------------------------------------------------

# postgres refuses to run as root: root runs it as the user whom Debian's package made.
as_postgres() {
    if ((EUID == 0)); then
        setpriv --reuid=postgres --regid=postgres --init-groups --reset-env -- "$@"
    else
        "$@"
    fi
}

find_postgres() {
    pg_bin=/usr/lib/postgresql/15/bin
    [[ -x $pg_bin/initdb ]] || die "PostgreSQL 15 is missing ($pg_bin): run deploy/local/install.sh run"
}

find_kafka() {
    command -v java >/dev/null || die "java is missing: run deploy/local/install.sh run"
    compgen -G "$jars/kafka_2.13-*.jar" >/dev/null ||
        die "the Kafka jars are missing in $jars: run deploy/local/install.sh run"
}

# The home of the database cluster: $dir/postgres, unless user postgres cannot get there (a checkout
# under /root, say): then a directory under /var/tmp, and $dir/postgres links to it.
make_postgres_home() {
    if [[ ! -e $dir/postgres ]]; then
        rm -f "$dir/postgres"
        if as_postgres test -x "$dir"; then
            mkdir "$dir/postgres"
        else
            ln -s "$(mktemp -d /var/tmp/catalyst-stack.XXXXXX)" "$dir/postgres"
        fi
    fi
    pg_home=$(readlink -f "$dir/postgres")
    mkdir -p "$pg_home/socket"
    if ((EUID == 0)); then
        chown postgres: "$pg_home" "$pg_home/socket"
    fi
    chmod 0755 "$pg_home"
}

# Ports are chosen once for a directory, so that a restarted server is found where it was.
make_layout() {
    mkdir -p "$dir" "$logs"
    chmod 0755 "$dir" "$logs"
    if [[ ! -s $dir/ports ]]; then
        kafka_port=$(free_port)
        controller_port=$(free_port "$kafka_port")
        postgres_port=$(free_port "$kafka_port" "$controller_port")
        printf 'kafka_port=%s controller_port=%s postgres_port=%s\n' \
            "$kafka_port" "$controller_port" "$postgres_port" >"$dir/ports"
    fi
    read_ports
}

read_ports() {
    [[ -s $dir/ports ]] || die "no stack in $dir: run stack.sh start"
    local words
    read -r -a words <"$dir/ports"
    kafka_port=${words[0]#*=}
    controller_port=${words[1]#*=}
    postgres_port=${words[2]#*=}
}

# --- Kafka -------------------------------------------------------------------------------------

make_kafka() {
    [[ ! -e $dir/kafka/data/meta.properties ]] || return 0
    rm -rf "$dir/kafka"
    mkdir -p "$dir/kafka"
    cat >"$dir/kafka/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:$kafka_port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$kafka_port
log.dirs=$dir/kafka/data

# One broker: one copy of everything, few internal partitions.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# A killed broker is let in again once its former session has run out: 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
EOF
    cat "$here/broker.properties" >>"$dir/kafka/server.properties"
    local id
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'pS' | tr -d '=')
    java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto \
        -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$jars/*" \
        kafka.tools.StorageTool format -t "$id" -c "$dir/kafka/server.properties" \
        >"$logs/kafka-format.log" 2>&1 9>&- || die "formatting Kafka's storage failed; see $logs/kafka-format.log"
}

# Asks for the API versions and waits for the answer: a listening socket alone says little.
kafka_answers() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$kafka_port" || exit 1
        printf '\0\0\0\x0a\0\x12\0\0\0\0\0\x01\0\0' >&3
        [[ $(head -c 8 <&3 | wc -c) == 8 ]]
    ) 2>/dev/null
}

# A process that was killed lets go of its port a little later than of its pid.
port_is_free() {
    local try
    for ((try = 0; try < 100; try++)); do
        port_answers "$1" || return 0
        sleep 0.1
    done
    return 1
}

launch_kafka() {
    ! running_pid kafka >/dev/null || return 0
    port_is_free "$kafka_port" ||
        die "port $kafka_port, which this stack's broker had, is taken by another program; free it or run stack.sh destroy"
    # Of two lines with the same name the last holds.
    ((${#kafka_settings[@]} == 0)) || printf '%s\n' "${kafka_settings[@]}" >>"$dir/kafka/server.properties"
    kafka_log_offset=$(wc -c 2>/dev/null <"$logs/kafka.log" || echo 0)
    # Options of the JVM under the names that Kafka's own scripts give them.
    local -a jvm
    read -r -a jvm <<<"${KAFKA_HEAP_OPTS:--Xmx512m} ${KAFKA_JVM_PERFORMANCE_OPTS:--XX:+UseSerialGC}"
    launch kafka java "${jvm[@]}" -Djava.awt.headless=true \
        -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$jars/*" \
        kafka.Kafka "$dir/kafka/server.properties"
}

# "Kafka Server started" is logged when the controller has admitted the broker.
await_kafka() {
    local deadline=$((SECONDS + kafka_start_seconds)) started=
    while ((SECONDS < deadline)); do
        running_pid kafka >/dev/null || die "the broker ended at its start; see $logs/kafka.log"
        if [[ -z $started ]]; then
            # Not by a pipe: grep ends at the first match, and pipefail would take a tail that still has
            # much to say for a failure.
            if [[ -z $kafka_log_offset ]] ||
                grep -q 'Kafka Server started' <(tail -c "+$((kafka_log_offset + 1))" "$logs/kafka.log"); then
                started=yes
            fi
        fi
        if [[ -n $started ]] && kafka_answers; then
            return 0
        fi
        sleep 0.1
    done
    die "the broker does not answer on port $kafka_port after $kafka_start_seconds s; see $logs/kafka.log"
}

# --- PostgreSQL --------------------------------------------------------------------------------

make_postgres() {
    make_postgres_home
    if [[ ! -s $pg_home/data/PG_VERSION || ! -e $pg_home/complete ]]; then
        rm -rf "${pg_home:?}/data"
        as_postgres "$pg_bin/initdb" -D "$pg_home/data" -U postgres --auth=trust --encoding=UTF8 \
            --locale=C.UTF-8 --no-sync --no-instructions >"$logs/postgres-initdb.log" 2>&1 9>&- ||
            die "initdb failed; see $logs/postgres-initdb.log"
        : >"$pg_home/complete"
    fi
    # A socket's path has at most 107 bytes; a long one is done without, TCP is there anyway.
    local socket=$pg_home/socket
    ((${#socket} <= 85)) || socket=
    {
        printf "listen_addresses = '127.0.0.1'\nport = %s\nunix_socket_directories = '%s'\n" \
            "$postgres_port" "$socket"
        printf "shared_buffers = '256MB'\nmax_wal_size = '2GB'\n"
        printf "log_line_prefix = '%%m [%%p] %%q%%u@%%d '\n"
    } >"$pg_home/stack.conf"
    local setting
    for setting in "${pg_settings[@]}"; do
        printf "%s = '%s'\n" "${setting%%=*}" "${setting#*=}"
    done >>"$dir/postgres-settings.conf"
    cat "$dir/postgres-settings.conf" >>"$pg_home/stack.conf"
    grep -q stack.conf "$pg_home/data/postgresql.conf" ||
        printf "include '%s'\n" "$pg_home/stack.conf" >>"$pg_home/data/postgresql.conf"
}

psql_admin() {
    PGOPTIONS='' "$pg_bin/psql" -qXAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$postgres_port" -U postgres -d postgres "$@"
}

launch_postgres() {
    ! running_pid postgres >/dev/null || return 0
    port_is_free "$postgres_port" ||
        die "port $postgres_port, which this stack's PostgreSQL had, is taken by another program; free it or run stack.sh destroy"
    local command=("$pg_bin/postgres" -D "$pg_home/data")
    if ((EUID == 0)); then
        command=(setpriv --reuid=postgres --regid=postgres --init-groups --reset-env -- "${command[@]}")
    fi
    launch postgres "${command[@]}"
}

await_postgres() {
    local deadline=$((SECONDS + postgres_start_seconds))
    until psql_admin -c 'SELECT 1' >/dev/null 2>&1; do
        running_pid postgres >/dev/null || die "PostgreSQL ended at its start; see $logs/postgres.log"
        ((SECONDS < deadline)) ||
            die "PostgreSQL does not answer on port $postgres_port after $postgres_start_seconds s; see $logs/postgres.log"
        sleep 0.05
    done
    if [[ -z $(psql_admin -c "SELECT 1 FROM pg_roles WHERE rolname = 'catalyst'") ]]; then
        # CREATEDB: integration tests make databases of their own.
        psql_admin -c 'CREATE ROLE catalyst LOGIN CREATEDB'
    fi
    if [[ -z $(psql_admin -c "SELECT 1 FROM pg_database WHERE datname = 'catalyst'") ]]; then
        psql_admin -c 'CREATE DATABASE catalyst OWNER catalyst'
    fi
}

# --- commands ----------------------------------------------------------------------------------

start_kafka() {
    find_kafka
    make_layout
    make_kafka
    launch_kafka
    await_kafka
}

start_postgres() {
    find_postgres
    make_layout
    make_postgres
    launch_postgres
    await_postgres
}

# initdb and the formatting of Kafka's storage, and then both starts, go side by side.
start() {
    find_kafka
    find_postgres
    make_layout
    make_kafka &
    local formatting=$!
    make_postgres
    launch_postgres
    wait "$formatting" || exit 1
    launch_kafka
    await_postgres
    await_kafka
    say "Kafka on 127.0.0.1:$kafka_port (pid $(running_pid kafka)), PostgreSQL on 127.0.0.1:$postgres_port" \
        "(pid $(running_pid postgres)), logs in $logs"
}

stop_kafka() { end kafka TERM KILL; }
stop_postgres() { end postgres INT QUIT; }

stop() {
    stop_kafka &
    local stopping=$!
    stop_postgres
    wait "$stopping"
}

destroy() {
    [[ -e $dir ]] || return 0
    [[ -s $dir/ports ]] || die "$dir holds no stack, nothing deleted"
    stop
    if [[ -L $dir/postgres ]]; then
        rm -rf "$(readlink -f "$dir/postgres")"
    fi
    rm -rf "$dir"
}

status() {
    local all=0 pid
    if pid=$(running_pid kafka) && kafka_answers; then
        echo "kafka     running  pid $pid  127.0.0.1:$kafka_port"
    else
        echo "kafka     stopped"
        all=3
    fi
    if pid=$(running_pid postgres) && psql_admin -c 'SELECT 1' >/dev/null 2>&1; then
        echo "postgres  running  pid $pid  127.0.0.1:$postgres_port"
    else
        echo "postgres  stopped"
        all=3
    fi
    echo "directory $dir"
    echo "logs      $logs"
    return "$all"
}

print_env() {
    local name
    local -A value=(
        [CATALYST_KAFKA_BOOTSTRAP_SERVERS]=127.0.0.1:$kafka_port
        [CATALYST_DATABASE_URL]=postgresql://catalyst@127.0.0.1:$postgres_port/catalyst
        [STACK_ADMIN_DATABASE_URL]=postgresql://postgres@127.0.0.1:$postgres_port/postgres
        [STACK_DIR]=$dir
        [STACK_KAFKA_PID]=$(running_pid kafka || true)
        [STACK_POSTGRES_PID]=$(running_pid postgres || true)
    )
    for name in CATALYST_KAFKA_BOOTSTRAP_SERVERS CATALYST_DATABASE_URL STACK_ADMIN_DATABASE_URL \
        STACK_DIR STACK_KAFKA_PID STACK_POSTGRES_PID; do
        printf 'export %s=%q\n' "$name" "${value[$name]}"
    done
}

verb=
dir=${STACK_DIR:-$repo/.stack}
pg_settings=()
kafka_settings=()
while (($# > 0)); do
    case $1 in
    --dir | --pg | --kafka)
        (($# >= 2)) || die "$1 needs a value"
        [[ $1 == --dir || $2 =~ ^[a-z_.]+=[^\']*$ ]] || die "$1 wants NAME=VALUE"
        case $1 in
        --dir) dir=$2 ;;
        --pg) pg_settings+=("$2") ;;
        --kafka) kafka_settings+=("$2") ;;
        esac
        shift 2
        ;;
    -h | --help | help)
        usage
        exit 0
        ;;
    -*) die "unknown option $1; see stack.sh --help" ;;
    *)
        [[ -z $verb ]] || die "one command at a time; see stack.sh --help"
        verb=$1
        shift
        ;;
    esac
done
[[ -n $verb ]] || {
    usage >&2
    exit 64
}
dir=$(realpath -m "$dir")
logs=$dir/logs
pg_bin=/usr/lib/postgresql/15/bin
kafka_log_offset=

# One change at a time in one directory. The servers do not inherit the lock (9>&- above).
lock() {
    mkdir -p "$dir"
    exec 9>"$dir/lock"
    flock -w 120 9 || die "another stack.sh is at work in $dir"
}

case $verb in
start | start-kafka | start-postgres)
    lock
    "${verb//-/_}"
    ;;
stop | stop-kafka | stop-postgres | kill-kafka | kill-postgres | restart-kafka | restart-postgres)
    if [[ ! -s $dir/ports ]]; then
        [[ $verb == restart-* ]] && die "no stack in $dir: run stack.sh start"
        say "no stack in $dir"
        exit 0
    fi
    lock
    case $verb in
    kill-kafka) end kafka KILL ;;
    kill-postgres) end postgres QUIT KILL ;;
    restart-*)
        "stop_${verb#restart-}"
        "start_${verb#restart-}"
        ;;
    *) "${verb//-/_}" ;;
    esac
    ;;
destroy) destroy ;;
status)
    read_ports
    status
    ;;
env)
    read_ports
    print_env
    ;;
*) die "unknown command $verb; see stack.sh --help" ;;
esac
