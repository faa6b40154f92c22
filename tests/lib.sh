# shellcheck shell=bash
# Shared by tests/run and .ci/run. Sourced, never run.

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=deploy/lib.sh
. "$root/deploy/lib.sh"

jobs=$(nproc)
niceness=${niceness:-0} # of what only computes, beside tests that have deadlines

# librdkafka, libpq and hiredis are not built for TSan: what they do inside is not ours to judge. TSan's deadlock detector
# sees some of librdkafka's read locks taken and not given back, and dies of the 64th.
tsan_options="halt_on_error=1 ignore_noninstrumented_modules=1 detect_deadlocks=0"

# The clients of deploy/python-venv, and pytest beside them. Prints the environment's folder.
tests_python() {
    "$root/deploy/python-venv" "$(cache_dir)/tests-python" "$root/tests/requirements.txt"
}

# Objects are taken from the compiler's cache where there is one.
if [[ -z ${CMAKE_C_COMPILER_LAUNCHER:-} ]] && command -v ccache >/dev/null; then
    export CMAKE_C_COMPILER_LAUNCHER=ccache
    # Objects of one build serve in another folder, and in the next checkout.
    export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=true
fi

# build_preset PRESET [TARGET...]
build_preset() {
    local preset=$1 targets=("${@:2}")
    (cd "$root" && cmake --preset "$preset" >"build/$preset.configure.log" 2>&1) ||
        { cat "$root/build/$preset.configure.log" >&2; return 1; }
    (cd "$root" && nice -n "$niceness" cmake --build --preset "$preset" -j "$jobs" ${targets:+--target "${targets[@]}"}) \
        >"$root/build/$preset.build.log" 2>&1 ||
        {
            tell_failure "build of preset $preset" \
                "$(grep -E 'error|warning|FAILED' -A 6 "$root/build/$preset.build.log" | head -n 80)"
            return 1
        }
}

# ---- what failed, told once more at the end -------------------------------------------------------

# tests/run within .ci/run adds to the list of the latter.
failures=${TESTS_FAILURES:-$root/build/failures}

forget_failures() {
    mkdir -p "$root/build"
    if [[ -z ${TESTS_FAILURES:-} ]]; then : >"$failures"; fi
    export TESTS_FAILURES=$failures
}

# TITLE [DETAIL]
tell_failure() {
    printf 'FAILED  %s\n%s' "$1" "${2:+$2$'\n'}" >>"$failures"
}

show_failures() {
    if [[ -s $failures ]]; then
        say "==== what failed ===="
        head -n 400 "$failures" >&2
    fi
}

# ---- several things at once -----------------------------------------------------------------------

# A lane is a command beside us, with its output in build/lanes/NAME.log and counts of its own. A lane of its own process
# group, so that an end of ours can end all of it.
lanes=() lane_pids=()

# NAME COMMAND...: begins.
lane() {
    local name=$1
    shift
    mkdir -p "$root/build/lanes"
    rm -f "$root/build/lanes/$name.count"
    set -m
    (
        set +m
        trap - EXIT INT TERM
        lanes=() lane_pids=() passed=0 failed=0
        "$@" || true
        echo "$passed $failed" >"$root/build/lanes/$name.count"
    ) >"$root/build/lanes/$name.log" 2>&1 </dev/null &
    lanes+=("$name") lane_pids+=($!)
    set +m
}

# Waits for all that began, shows what each said, adds what each counted.
join_lanes() {
    local place name counts
    for place in "${!lanes[@]}"; do
        name=${lanes[$place]}
        wait "${lane_pids[$place]}" 2>/dev/null || true
        say "---- $name ----"
        cat "$root/build/lanes/$name.log" >&2
        counts=$(cat "$root/build/lanes/$name.count" 2>/dev/null) || counts=''
        if [[ -z $counts ]]; then
            counts='0 1'
            tell_failure "$name ended before it had counted" "$(tail -n 20 "$root/build/lanes/$name.log")"
        fi
        passed=$((passed + ${counts% *})) failed=$((failed + ${counts#* }))
    done
    lanes=() lane_pids=()
}

end_lanes() {
    local pid
    for pid in "${lane_pids[@]}"; do kill -s TERM -- "-$pid" 2>/dev/null || true; done
    for pid in "${lane_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    lanes=() lane_pids=()
}

# ---- unit tests -------------------------------------------------------------------------------------

# BUILD: runs its unit tests, one a core; adds what cmocka counted to the globals passed and failed.
# cmocka announces and numbers its cases itself; what it announced and did not report (it died: a sanitizer, a signal)
# counts as failed.
run_unit_tests() {
    local build=$1 program log ok bad code planned
    local logs=$build/logs programs=()
    mapfile -t programs <"$build/tests/programs"
    rm -rf "$logs"
    mkdir -p "$logs"
    export -f run_unit_program
    printf '%s\0' "${programs[@]}" |
        (cd "$root" && xargs -0 -P "$jobs" -n 1 bash -c 'run_unit_program "$@"' - "$build/tests" "$logs") || true
    for program in "${programs[@]}"; do
        log=$logs/${program//\//.}.log
        code=$(cat "${log%.log}.code" 2>/dev/null) || code=none
        ok=$(grep -c '^ok ' "$log") || true
        bad=$(grep -c '^not ok ' "$log") || true
        planned=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
        if ((ok + bad < planned)); then bad=$((planned - ok)); fi
        if [[ $code != 0 && $bad == 0 ]]; then bad=1; fi
        passed=$((passed + ok))
        failed=$((failed + bad))
        if [[ $code != 0 || $bad != 0 ]]; then
            tell_failure "${build##*/}/$program (exit $code)" "$(tail -n 60 "$log")"
            say "$program failed (exit $code): ${log#"$root/"}"
        fi
    done
}

# FOLDER LOGS PROGRAM: the program's path below the folder; its log has the path as name, with dots.
run_unit_program() {
    local log=$2/${3//\//.} code=0
    CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 300 "$1/$3" >"$log.log" 2>&1 </dev/null || code=$?
    echo "$code" >"$log.code"
}

# ---- steps ----------------------------------------------------------------------------------------------

# One step of .ci/run or tests/run that passes or fails as a whole.
step() {
    local name=$1 began=$SECONDS
    shift
    if "$@"; then
        passed=$((passed + 1))
        say "ok      $name ($((SECONDS - began)) s)"
    else
        failed=$((failed + 1))
        say "FAILED  $name ($((SECONDS - began)) s)"
        tell_failure "step: $name"
        return 1
    fi
}
