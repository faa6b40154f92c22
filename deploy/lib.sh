# shellcheck shell=bash
# Shared by the scripts in this folder. Sourced, never run.

deploy_dir=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/versions
. "$deploy_dir/versions"

# stdout belongs to a script's result (a path, settings to eval), so all talk goes to stderr.
say() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
bad_usage() { printf '%s: %s (see --help)\n' "${0##*/}" "$*" >&2; exit 2; }

# The help of a script is the comment at its top.
print_help() { sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$1"; }

# Some runners start us without HOME.
home_dir() { echo "${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"; }

cache_dir() { echo "${INTERLOCK_CACHE:-${XDG_CACHE_HOME:-$(home_dir)/.cache}/interlock}"; }

# Changes whenever a pin or the list of jars does, so an old cache is never taken for a new one.
kafka_stamp() {
    echo "$KAFKA_VERSION $SCALA_VERSION $LOG4J_VERSION" | cat - "$deploy_dir/kafka/pom.xml" |
        sha256sum | cut -d' ' -f1
}

kafka_jars() { echo "$(cache_dir)/kafka-$KAFKA_VERSION"; }

kafka_jars_complete() {
    local stamp
    stamp=$(kafka_jars)/.complete
    [[ -f $stamp && $(<"$stamp") == "$(kafka_stamp)" ]]
}

# Debian keeps the server programs of PostgreSQL out of PATH, each major in a folder of its own. Prints that of the newest
# that will do; fails where there is none.
postgresql_bin() {
    local bin major found='' newest=$((POSTGRESQL_MINIMUM - 1))
    for bin in /usr/lib/postgresql/*/bin; do
        major=${bin%/bin} major=${major##*/}
        if [[ $major =~ ^[0-9]+$ && -x $bin/postgres ]] && ((major > newest)); then newest=$major found=$bin; fi
    done
    [[ -n $found ]] && echo "$found"
}

# Prints the name of the Redis, or Valkey, server that will do: redis-server or valkey-server.
redis_server() {
    local name minimum major
    for name in redis valkey; do
        minimum=$REDIS_MINIMUM
        if [[ $name == valkey ]]; then minimum=$VALKEY_MINIMUM; fi
        major=$("$name-server" --version 2>/dev/null | sed -n 's/.* v=\([0-9]*\)\..*/\1/p') || true
        if ((${major:-0} >= minimum)); then echo "$name-server"; return; fi
    done
    return 1
}

# The client that came with it.
redis_cli() { redis_server | sed 's/server$/cli/'; }

# Succeeds where the Java in PATH will do.
java_is_there() {
    local major
    major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1) || true
    ((${major:-0} >= JAVA_MINIMUM))
}

# ---- waiting ----------------------------------------------------------------------------------

# tick TEXT: one line that is written over, where there is a terminal to do so; else a line every ten seconds. It says
# for how long the text has been the same: "waiting for kafka (12 s)".
tick_text='' tick_since=0 tick_written=0
tick() {
    local width=${COLUMNS:-80} waited=''
    if [[ -z $1 ]]; then return; fi
    if [[ -z $tick_text ]]; then tick_written=$SECONDS; fi
    if [[ $1 != "$tick_text" ]]; then tick_text=$1 tick_since=$SECONDS; fi
    if ((SECONDS > tick_since)); then waited=" ($((SECONDS - tick_since)) s)"; fi
    if [[ -t 1 ]]; then
        printf '\r\e[K[%3d s]   %s%s' "$SECONDS" "${1:0:(width > 40 ? width : 72) - 12 - ${#waited}}" "$waited"
    elif ((SECONDS - tick_written >= 10)); then
        tick_written=$SECONDS
        printf '[%3d s]   %s%s\n' "$SECONDS" "${1:0:100}" "$waited"
    fi
}

clear_tick() {
    tick_text=''
    if [[ -t 1 ]]; then printf '\r\e[K'; fi
}
