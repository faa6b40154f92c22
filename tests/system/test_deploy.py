"""The scripts of deploy/: what they say and do where a machine is not as they would like it."""

import hashlib
import os
import re
import shlex
import subprocess
import urllib.parse
from pathlib import Path

import psycopg2
import pytest

from harness.stack import ROOT
from harness.terminal import on_terminal

DEPLOY = ROOT / "deploy"


def bash(script, *arguments, **environment):
    """A script that has deploy/lib.sh."""
    return subprocess.run(["bash", "-euo", "pipefail", "-c", f'. "{DEPLOY}/lib.sh"\n{script}', "-", *arguments],
                          capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment})


def programs(folder, **versions):
    """A folder for PATH, of programs that only know their versions."""
    for name, says in versions.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
        path.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


REDIS_8 = "Redis server v=8.0.2 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"
REDIS_6 = "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64"
VALKEY_8 = "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"
VALKEY_7 = "Valkey server v=7.2.5 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"


@pytest.mark.parametrize("versions, found", [
    ({"redis_server": REDIS_8}, "redis-server"),
    ({"redis_server": REDIS_6, "valkey_server": VALKEY_8}, "valkey-server"),
    ({"redis_server": REDIS_6, "valkey_server": VALKEY_7}, ""),
])
def test_any_redis_or_valkey_that_is_new_enough_will_do(tmp_path, versions, found):
    assert bash("redis_server", PATH=programs(tmp_path, **versions)).stdout.strip() == found


@pytest.mark.parametrize("says, will_do", [
    ('openjdk version "17.0.15" 2025-04-15', True), ('openjdk version "25" 2025-09-16', True),
    ('openjdk version "11.0.27" 2025-04-15', False), ('java version "1.8.0_452"', False)])
def test_any_java_that_is_new_enough_will_do(tmp_path, says, will_do):
    assert (bash("java_is_there", PATH=programs(tmp_path, java=says)).returncode == 0) == will_do


@pytest.mark.parametrize("installed, wanted", [
    ("installed amd64", ""), ("installed amd64\ninstalled arm64", ""), ("installed all", ""),
    ("installed arm64", "jq"), ("config-files amd64", "jq"), ("not-installed amd64\ninstalled arm64", "jq")])
def test_a_package_is_there_if_it_is_for_this_machine(tmp_path, installed, wanted):
    script = (DEPLOY / "install").read_text(encoding="utf-8")
    function = re.search(r"^missing_packages\(\) \{.*?^\}", script, re.MULTILINE | re.DOTALL).group(0)
    path = programs(tmp_path, dpkg="amd64")
    (tmp_path / "dpkg-query").write_text(f"#!/bin/sh\nprintf '%s\\n' '{installed}'\n", encoding="utf-8")
    (tmp_path / "dpkg-query").chmod(0o755)
    assert bash(f"{function}\nmissing_packages jq", PATH=path).stdout.strip() == wanted


def test_jars_other_than_those_of_the_list_are_refused(tmp_path):
    script = (DEPLOY / "install").read_text(encoding="utf-8")
    function = re.search(r"^jars_are_right\(\) \{.*?^\}", script, re.MULTILINE | re.DOTALL).group(0)
    jars = tmp_path / "jars"
    jars.mkdir()
    (jars / "a.jar").write_bytes(b"right")
    (tmp_path / "list").write_text(hashlib.sha256(b"right").hexdigest() + "  a.jar\n", encoding="utf-8")

    def judged():
        return bash(f'{function}\njar_list=$1\njars_are_right "$2"', tmp_path / "list", jars)
    assert judged().returncode == 0
    (jars / "b.jar").write_bytes(b"one more")
    assert judged().returncode != 0 and "b.jar" in judged().stderr
    (jars / "b.jar").unlink()
    (jars / "a.jar").write_bytes(b"wrong")
    assert judged().returncode != 0 and "a.jar" in judged().stderr


@pytest.mark.parametrize("requirements", ["deploy/requirements.txt", "tests/requirements.txt"])
def test_every_python_package_has_its_sums(requirements):
    text = (ROOT / requirements).read_text(encoding="utf-8").replace("\\\n", " ")
    packages = [line for line in text.splitlines() if not line.startswith("#")]
    assert packages and all(re.fullmatch(r"[\w.-]+==[\w.]+( +--hash=sha256:[0-9a-f]{64})+", each) for each in packages)


def test_ports_that_the_system_gives_away_are_warned_of(tmp_path):
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    script = (DEPLOY / "stack").read_text(encoding="utf-8").rpartition("main \"$@\"")[0]
    script = script.replace('. "$(dirname "$(readlink -f "$0")")/lib.sh"', "")

    def told(base):
        return bash(f"{script}\nPORT_BASE=$1 BROKERS=1\nwarn_of_ephemeral_ports", str(base)).stderr
    assert "outgoing connections" in told(first) and "outgoing connections" in told(last)
    assert "outgoing connections" in told(first - 2), "the broker's ports are behind"
    assert told(first - 100) == ""


def test_a_wait_is_said_with_its_time_every_ten_seconds_where_nothing_can_be_rewritten():
    done = bash("""
        unset SECONDS  # else it moves
        for at in 1 2 11 20 21; do SECONDS=$at; tick "waiting for kafka"; done
        SECONDS=25; tick "kafka answers"; clear_tick
        SECONDS=40; tick "the next step"; SECONDS=52; tick "the next step\"""")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("[ 11 s]   waiting for kafka (10 s)\n[ 21 s]   waiting for kafka (20 s)\n"
                           "[ 52 s]   the next step (12 s)\n")


def test_on_a_terminal_a_wait_is_rewritten_with_its_time():
    script = (f'. "{DEPLOY}/lib.sh"; unset SECONDS; SECONDS=3; tick "waiting for kafka"; '
              'SECONDS=15; tick "waiting for kafka"; clear_tick')
    with on_terminal("script", dict(os.environ, TERM="xterm"), "-qec",
                     shlex.join(["bash", "-euo", "pipefail", "-c", script]), "/dev/null") as shown:
        code, output, _ = shown.end()
    again = "\r\x1b[K"
    assert code == 0 and output.replace("\n", "\r") == (f"{again}[  3 s]   waiting for kafka"
                                                      f"{again}[ 15 s]   waiting for kafka (12 s){again}")


def test_a_port_that_is_taken_is_named(stack, tmp_path):
    taken = int(stack.bootstrap.rpartition(":")[2])
    done = subprocess.run([DEPLOY / "stack", "up", "--dir", tmp_path / "stack", "--port-base", str(taken - 2)],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and f"port {taken - 2}" in done.stderr and "--port-base" in done.stderr


# ---- who may come in ------------------------------------------------------------------------------------

def test_the_stack_asks_for_passwords_that_are_the_owner_s_alone(stack):
    file = Path(stack.directory) / "passwords"
    assert file.stat().st_mode & 0o777 == 0o600 and file.stat().st_uid == os.geteuid()
    found = dict(line.split("=", 1) for line in file.read_text(encoding="ascii").splitlines())
    assert found["POSTGRESQL_PASSWORD"] == stack.password and len(set(found.values())) == 2
    database = urllib.parse.urlparse(stack.database_url)
    for wrong in ("", "wrong"):
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(host=database.hostname, port=database.port, user="interlock", dbname="interlock",
                             password=wrong, passfile="/dev/null")
        redis = urllib.parse.urlparse(stack.redis_url)
        done = subprocess.run([stack.redis_cli, "-h", redis.hostname, "-p", str(redis.port), "ping"], timeout=10,
                              capture_output=True, text=True, check=False, env={**os.environ, "REDISCLI_AUTH": wrong})
        assert "NOAUTH" in done.stdout + done.stderr
    assert stack.redis("ping") == "PONG"


@pytest.mark.parametrize("service", ["postgresql", "redis", "kafka"])
def test_no_service_of_the_stack_runs_as_root_or_shows_a_password(stack, service):
    pid = int((Path(stack.directory) / f"run/{service}.pid").read_text(encoding="ascii"))
    assert os.stat(f"/proc/{pid}").st_uid != 0 or os.geteuid() != 0
    secrets = [line.partition("=")[2] for line in
               (Path(stack.directory) / "passwords").read_text(encoding="ascii").splitlines()]
    for file in ("cmdline", "environ"):
        text = Path(f"/proc/{pid}/{file}").read_bytes().decode("utf-8", "replace")
        assert not any(each in text for each in secrets)
