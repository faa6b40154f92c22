# shellcheck shell=bash
# shellcheck disable=SC2154  # dir, DATA_DIR, PORT_BASE, BROKERS, CLUSTER_ID, ..._PASSWORD: set by deploy/stack
# The particulars of each of the three services: how it is prepared, set up, started, asked
# whether it answers, and ended. Sourced by deploy/stack.

need_programs() {
    local missing=()
    postgresql_bin >/dev/null || missing+=("PostgreSQL $POSTGRESQL_MINIMUM or later")
    redis_server >/dev/null || missing+=("Redis $REDIS_MINIMUM or Valkey $VALKEY_MINIMUM or later")
    java_is_there || missing+=("Java $JAVA_MINIMUM or later")
    command -v kcat >/dev/null || missing+=("kcat")
    kafka_jars_complete || missing+=("Kafka $KAFKA_VERSION's jars in $(kafka_jars)")
    ((${#missing[@]} == 0)) || die "missing: $(printf '%s, ' "${missing[@]}" | sed 's/, $//'). Run deploy/install."
}

# PostgreSQL refuses to be root, and the others need not be.
as_postgres=()
if ((EUID == 0)); then as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups --); fi
readonly as_postgres

# A clean environment: a service must not depend on whose shell started it.
readonly clean_env=(env -i PATH="$PATH" LC_ALL=C.UTF-8 TZ=UTC)

# SERVICE: its folder, for nobody but the user that it runs as.
make_home() {
    local home=$DATA_DIR/$1
    mkdir -p "$home"
    # In /var/tmp anyone may have made a folder of this name before us.
    [[ -O $home || $(stat -c %U "$home") == postgres ]] || die "$home belongs to $(stat -c %U "$home"): move it away"
    if ((EUID == 0)); then chown postgres: "$home"; fi
    chmod 700 "$home"
}

# Starts a process that outlives us, and returns when it can be told by its command line.
launch() {
    local service=$1
    shift
    "${clean_env[@]}" setsid "$@" <&0 >>"$dir/log/$service.log" 2>&1 9>&- & # its input is ours
    echo $! >"$dir/run/$service.pid"
    local tries=100
    until runs "$service" || ! kill -0 $! 2>/dev/null || ((tries-- == 0)); do sleep 0.01; done
}

start_postgresql() {
    local bin data=$DATA_DIR/postgresql/data
    bin=$(postgresql_bin)
    # Made under another name first: a half-made database is never taken for a whole one.
    if [[ ! -d $data ]]; then init_postgresql "$bin" "$data.new"; fi
    postgresql_settings >"$data/postgresql.conf"
    forget_dead_postgresql "$data/postmaster.pid"
    launch postgresql "${as_postgres[@]}" "$bin/postgres" -D "$data" </dev/null
}

# A killed server keeps its number until its parent takes notice, and PostgreSQL would take that for
# a running server. Only the number goes (no process has the new one): by the rest of the file
# PostgreSQL still sees whether backends of the dead server are left.
forget_dead_postgresql() {
    local pid=''
    read -r pid 2>/dev/null <"$1" || return 0
    if grep -qs '^State:.Z' "/proc/$pid/status"; then
        "${as_postgres[@]}" sed -i '1s/.*/2147483646/' "$1"
    fi
}

init_postgresql() {
    local bin=$1 new=$2 password=$DATA_DIR/postgresql/password
    make_home postgresql
    rm -rf "$new" "$password"
    (umask 077 && echo "$POSTGRESQL_PASSWORD" >"$password")
    if ((EUID == 0)); then chown postgres: "$password"; fi
    "${as_postgres[@]}" "${clean_env[@]}" "$bin/initdb" -D "$new" -U interlock -A scram-sha-256 --pwfile="$password" \
        -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions >>"$dir/log/postgresql.log" 2>&1 9>&-
    rm -f "$password"
    "${as_postgres[@]}" "${clean_env[@]}" "$bin/postgres" --single -D "$new" postgres \
        <<<'CREATE DATABASE interlock' >>"$dir/log/postgresql.log" 2>&1 9>&-
    mv "$new" "${new%.new}"
}

postgresql_settings() {
    cat <<END
# Written at every start by deploy/stack; ALTER SYSTEM settings stay.
listen_addresses = '127.0.0.1'
port = $(port_of postgresql)
unix_socket_directories = ''
max_connections = 200
shared_buffers = 512MB
synchronous_commit = on
fsync = on
wal_compression = lz4
max_wal_size = 8GB
checkpoint_timeout = 15min
jit = off
autovacuum = on
logging_collector = off
log_line_prefix = '%m [%p] %a '
log_lock_waits = on
log_timezone = 'UTC'
timezone = 'UTC'
END
}

# Its settings, with the password in them, come through a pipe: who runs it need not read our files.
start_redis() {
    make_home redis
    launch redis "${as_postgres[@]}" "$(redis_server)" - --dir "$DATA_DIR/redis/" < <(redis_settings)
}

redis_settings() {
    cat <<END
bind 127.0.0.1
port $(port_of redis)
daemonize no
# The command line is how deploy/stack knows this process.
set-proc-title no
save ""
appendonly no
maxmemory-policy noeviction
${REDIS_PASSWORD:+requirepass $REDIS_PASSWORD}
END
}

start_kafka() {
    local service=$1 home=$DATA_DIR/$1 jars
    jars=$(readable_jars)
    make_home "$service"
    kafka_settings "$service" >"$home/server.properties"
    cp "$deploy_dir/kafka/log4j2.properties" "$home/"
    chmod 644 "$home"/*.properties
    if [[ ! -f $home/data/meta.properties ]]; then
        "${as_postgres[@]}" "${clean_env[@]}" java -Xshare:auto -XX:TieredStopAtLevel=1 -cp "$jars/*" \
            kafka.tools.StorageTool format -t "$CLUSTER_ID" -c "$home/server.properties" \
            >>"$dir/log/$service.log" 2>&1 </dev/null 9>&-
    fi
    launch "$service" "${as_postgres[@]}" java -Xms256m -Xmx768m -XX:MaxGCPauseMillis=20 -Djava.awt.headless=true \
        -Djava.net.preferIPv4Stack=true -Dlog4j2.configurationFile="$home/log4j2.properties" \
        -cp "$jars/*" kafka.Kafka "$home/server.properties" </dev/null
}

# Root's cache is root's alone: the user that runs Kafka gets a copy, which he cannot change. Made once a version.
readable_jars() {
    local jars copy
    jars=$(kafka_jars)
    if "${as_postgres[@]}" test -r "$jars/.complete"; then
        echo "$jars"
        return
    fi
    copy=/var/tmp/interlock-kafka-$(kafka_stamp | cut -c 1-12)
    if [[ ! -d $copy ]]; then
        rm -rf "$copy.$$"
        mkdir -m 755 "$copy.$$" && cp "$jars"/*.jar "$copy.$$/" && chmod 644 "$copy.$$"/* && mv -T "$copy.$$" "$copy" 2>/dev/null ||
            rm -rf "$copy.$$" # another stack was quicker
    fi
    [[ -O $copy ]] || die "$copy belongs to $(stat -c %U "$copy"): move it away"
    echo "$copy"
}

kafka_settings() {
    local service=$1 broker port voters='' copies=$BROKERS agree=1
    if ((BROKERS == 3)); then agree=2; fi
    port=$(port_of "$service")
    for broker in $(brokers); do
        voters+=,$(broker_id "$broker")@127.0.0.1:$(($(port_of "$broker") + 1))
    done
    cat <<END
# Written at every start by deploy/stack.
process.roles=broker,controller
node.id=$(broker_id "$service")
controller.quorum.voters=${voters#,}
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$DATA_DIR/$service/data
auto.create.topics.enable=false
default.replication.factor=$copies
min.insync.replicas=$agree
offsets.topic.replication.factor=$copies
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$agree
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$agree
# Few partitions: the first transaction and the first group wait for each of them to load.
offsets.topic.num.partitions=8
transaction.state.log.num.partitions=8
group.initial.rebalance.delay.ms=0
# A broker that died may register again only after its session: nine seconds by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# Tests let workers die, and cannot wait the usual six seconds at least until that is seen.
group.min.session.timeout.ms=1000
END
}

answers() {
    local port
    port=$(port_of "$1")
    case $1 in
        postgresql) "$(postgresql_bin)/pg_isready" -q -h 127.0.0.1 -p "$port" -U interlock -d interlock ;;
        redis) [[ $(REDISCLI_AUTH=$REDIS_PASSWORD "$(redis_cli)" -h 127.0.0.1 -p "$port" ping) == PONG ]] ;;
        # A broker lists itself once the controller lets it serve. The port first: kcat is slow to
        # give up on a closed one.
        kafka*) port_is_taken "$port" &&
            [[ $(kcat -q -L -m 2 -b "127.0.0.1:$port") == *"broker $(broker_id "$1") at"* ]] ;;
    esac
} >/dev/null 2>&1

signal_for() {
    case $1-$2 in
        clean-postgresql) echo INT ;;
        now-postgresql) echo QUIT ;;
        clean-*) echo TERM ;;
        *) echo KILL ;;
    esac
}
