# shellcheck shell=bash
# What tests/run and .ci/run share. Sourced, never run.

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=deploy/lib.sh
. "$root/deploy/lib.sh"

jobs=$(nproc)

# librdkafka, libpq and hiredis are not built for TSan: what they do inside is not ours to judge. TSan's deadlock detector
# sees some of librdkafka's read locks taken and not given back, and dies of the 64th.
tsan_options="halt_on_error=1 ignore_noninstrumented_modules=1 detect_deadlocks=0"

# The clients of deploy/python-venv, and pytest beside them. Prints the environment's folder.
tests_python() {
    local dir
    dir=$("$root/deploy/python-venv" "$(cache_dir)/python-tests")
    if [[ $("$dir/bin/python" -c 'import pytest; print(pytest.__version__)' 2>/dev/null) != "$PY_PYTEST" ]]; then
        "$dir/bin/pip" install -q --disable-pip-version-check --only-binary :all: "pytest==$PY_PYTEST" >&2 ||
            die "pip could not install pytest $PY_PYTEST (see above)"
    fi
    echo "$dir"
}

# build_preset PRESET [TARGET...]
build_preset() {
    local preset=$1 targets=("${@:2}")
    (cd "$root" && cmake --preset "$preset" >"build/$preset.configure.log" 2>&1) ||
        { cat "$root/build/$preset.configure.log" >&2; return 1; }
    (cd "$root" && cmake --build --preset "$preset" -j "$jobs" ${targets:+--target "${targets[@]}"}) \
        >"$root/build/$preset.build.log" 2>&1 ||
        { grep -E 'error|warning|FAILED' -A 6 "$root/build/$preset.build.log" | head -n 80 >&2; return 1; }
}

# Runs every unit test of a build folder; adds what cmocka counted to the globals passed and failed.
# cmocka numbers its cases itself; a program that died (a sanitizer, a signal) counts as one failure more.
run_unit_tests() {
    local build=$1 program name log ok bad code
    mkdir -p "$build/logs"
    for program in "$build"/tests/test_*; do
        [[ -f $program && -x $program ]] || continue
        name=${program##*/}
        log=$build/logs/$name.log
        code=0
        (cd "$root" && CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 90 "$program") >"$log" 2>&1 </dev/null || code=$?
        ok=$(grep -c '^ok ' "$log") || true
        bad=$(grep -c '^not ok ' "$log") || true
        if ((code != 0 && bad == 0)); then bad=1; fi
        passed=$((passed + ok))
        failed=$((failed + bad))
        if ((code != 0 || bad > 0)); then
            say "--- $name failed (exit $code); its log:"
            tail -n 60 "$log" >&2
        fi
    done
}

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
        return 1
    fi
}
