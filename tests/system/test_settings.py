"""Settings and command lines: what is wrong ends with exit 1 and a message that helps."""

import json
import os
import subprocess

import pytest

from harness.stack import ROOT


@pytest.fixture
def offline(binary, tmp_path):
    """Runs the program without any service; `text` is its settings file."""
    def run(*arguments, text=None, **environment):
        words = list(arguments)
        if text is not None:
            path = tmp_path / "interlock.conf"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            words += ["--config", str(path)]
        return subprocess.run([binary, *words], env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True,
                              text=True, timeout=30, check=False)
    return run


def refused(done, *words):
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    for word in words:
        assert word in done.stderr, done.stderr


WRONG = [
    ("an unknown key", 'http: { lisen = "127.0.0.1:1"; };', ["interlock.conf:1", "http.lisen"]),
    ("an unknown section", '\nhtpp: { listen = "127.0.0.1:1"; };', ["interlock.conf:2", "htpp"]),
    ("a number without a unit", 'consumers:\n{\n  session_timeout = 5;\n};', ["interlock.conf:3", "session_timeout"]),
    ("an unknown unit", 'consumers: { session_timeout = "5 parsecs"; };', ["session_timeout", "5 parsecs"]),
    ("a time out of range", 'consumers: { session_timeout = "9h"; };', ["session_timeout", "9h"]),
    ("a negative time", 'consumers: { session_timeout = "-5s"; };', ["session_timeout"]),
    ("a size out of range", 'consumers: { in_flight_bytes = "1KiB"; };', ["in_flight_bytes", "1KiB"]),
    ("a number out of range", 'worker: { lanes = 0; };', ["worker.lanes"]),
    ("a number that would wrap", 'worker: { lanes = 4294967297; };', ["worker.lanes", "4294967297"]),
    ("a text for a number", 'worker: { lanes = "four"; };', ["worker.lanes"]),
    ("a word that is not in the list", 'kafka: { delivery = "twice"; };', ["kafka.delivery", "twice", "exactly_once"]),
    ("a number for a switch", 'redis: { enabled = 1; };', ["redis.enabled"]),
    ("a bad URL", 'database: { url = "mysql://x"; };', ["database.url", "postgresql://"]),
    ("a bad topic", 'kafka: { topics = "a b"; };', ["kafka.topics"]),
    ("a bad address", 'http: { listen = "nowhere"; };', ["http.listen"]),
    ("a port out of range", 'http: { listen = "127.0.0.1:70000"; };', ["http.listen"]),
    ("a key twice", 'worker: { lanes = 1; lanes = 2; };', ["interlock.conf:1", "lanes"]),
    ("a file that is cut", 'worker: { lanes = 1;', ["interlock.conf"]),
    ("an include", '@include "."\n', ["interlock.conf:1", "@include"]),
    ("a setting of librdkafka that is ours", 'kafka: { consumer = { enable.auto.commit = "true"; }; };',
     ["enable.auto.commit"]),
    ("bytes that are no text", b'kafka: { group = "\xff\xfe"; };', ["interlock.conf:1"]),
    ("timeouts that do not nest", 'database: { lock_timeout = "30s"; };', ["lock_timeout"]),
]


@pytest.mark.parametrize("text, words", [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_settings_file_that_is_wrong_is_refused_where_it_is_wrong(offline, text, words):
    refused(offline("check", "--offline", text=text), *words)
    refused(offline("run", text=text), *words)


@pytest.mark.parametrize("variable, value, words", [
    ("INTERLOCK_WORKER_LANES", "many", ["INTERLOCK_WORKER_LANES", "many"]),
    ("INTERLOCK_CONSUMERS_SESSION_TIMEOUT", "5", ["INTERLOCK_CONSUMERS_SESSION_TIMEOUT"]),
    ("INTERLOCK_HTTP_LISEN", "x", ["INTERLOCK_HTTP_LISEN"]),
    ("KAFKA_BOOTSTRAP", "a b", ["KAFKA_BOOTSTRAP"]),
    ("DATABASE_URL", "x", ["DATABASE_URL"]),
    ("REDIS_URL", "http://x", ["REDIS_URL"]),
    ("KAFKA_BOOTSTRAP", "", ["KAFKA_BOOTSTRAP"]),
    ("DATABASE_URL", "", ["DATABASE_URL"]),
    ("REDIS_URL", "", ["REDIS_URL"]),
])
def test_an_environment_that_is_wrong_is_refused(offline, variable, value, words):
    refused(offline("run", **{variable: value}), *words)


@pytest.mark.parametrize("arguments, words", [
    ([], ["usage"]), (["jump"], ["jump"]), (["run", "--fast"], ["--fast"]), (["run", "--config"], ["--config"]),
    (["run", "--config", "/nowhere/x.conf"], ["/nowhere/x.conf"]), (["migrate"], ["up"]),
    (["migrate", "sideways"], ["sideways"]), (["audit"], ["list"]), (["audit", "burn"], ["burn"]),
    (["describe", "--output", "xml"], ["xml", "json"]), (["topics", "drop"], ["plan", "create"]),
    (["topics", "create", "--partitions", "none"], ["--partitions"]), (["audit", "list", "--limit", "-1"], ["--limit"]),
    (["publish", "/nowhere/events"], ["/nowhere/events"]),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_a_command_line_that_is_wrong_is_refused(offline, arguments, words):
    refused(offline(*arguments), *words)


# ---- who may write and read the file ----------------------------------------------------------------------------

SECRET = 'database: { url = "postgresql://user:hunter2@127.0.0.1:1/x"; };\n'


@pytest.fixture
def settled(offline, tmp_path):
    """A settings file of mode 0600 in a folder of its own, and what the program says of it after `change(path)`."""
    def run(change, text=SECRET):
        folder = tmp_path / "etc"
        folder.mkdir(mode=0o755)
        path = folder / "interlock.conf"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        change(path)
        return offline("check", "--offline", "--config", str(path))
    return run


def test_a_settings_file_that_only_its_user_may_touch_is_not_spoken_of(settled):
    done = settled(lambda path: None)
    assert done.returncode == 0 and "chmod" not in done.stderr + done.stdout


@pytest.mark.parametrize("change, words", [
    (lambda path: path.chmod(0o602), ["everybody may write", "chmod o-w"]),
    (lambda path: path.parent.chmod(0o777), ["everybody may write its folder", "chmod o-w"]),
], ids=["the file", "its folder"])
def test_a_settings_file_that_everybody_may_replace_is_refused(settled, change, words):
    refused(settled(change), "interlock.conf", *words)


def test_a_folder_where_only_owners_replace_files_is_no_danger(settled):
    assert settled(lambda path: path.parent.chmod(0o1777)).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_settings_file_of_another_user_is_refused(settled):
    refused(settled(lambda path: os.chown(path, 12345, 0)), "interlock.conf", "belongs to user 12345")


@pytest.mark.parametrize("mode, words", [
    (0o660, ["its group may write", "chmod g-w"]), (0o604, ["everybody may read", "database.url", "chmod o-r"])])
def test_a_settings_file_that_others_write_or_read_a_password_in_is_warned_of(settled, mode, words):
    done = settled(lambda path: path.chmod(mode))
    assert done.returncode == 0
    for word in ["warning", "interlock.conf", *words]:
        assert word in done.stderr, done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_a_settings_file_without_a_password_may_be_read_by_all(settled):
    done = settled(lambda path: path.chmod(0o644), text=(
        'database: { url = "postgresql://someone@db.example:5432/interlock?sslmode=verify-full"; };\n'
        'redis: { url = "redis://127.0.0.1:6379/2"; };\nkafka: { consumer = { security.protocol = "ssl"; }; };'))
    assert done.returncode == 0 and "chmod" not in done.stderr


def test_a_folder_is_no_settings_file(offline, tmp_path):
    refused(offline("run", "--config", str(tmp_path)), str(tmp_path))


def test_defaults_alone_are_right(offline):
    done = offline("check", "--offline")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_file_that_is_shipped_is_right_and_complete(offline):
    shipped = (ROOT / "deploy/interlock.conf").read_text()
    assert offline("check", "--offline", text=shipped).returncode == 0
    printed = offline("describe", "settings", "--example")
    assert printed.returncode == 0 and printed.stdout == shipped


def test_the_environment_overrides_the_file(offline):
    text = 'worker: { lanes = 3; };\nkafka: { group = "from-file"; };\n'
    shown = offline("describe", "settings", text=text, INTERLOCK_WORKER_LANES="7").stdout
    lanes = [line for line in shown.splitlines() if "worker.lanes" in line][0]
    group = [line for line in shown.splitlines() if "kafka.group" in line][0]
    assert "7" in lanes and "from-file" in group and "interlock.conf" in group


CLIENTS = [
    ("a misspelt name", 'consumer = { fetch.mim.bytes = "3"; };', ["kafka.consumer", "fetch.mim.bytes"]),
    ("a value out of range", 'producer = { batch.size = "0"; };', ["kafka.producer", "batch.size"]),
    ("a file that is not there", 'producer = { security.protocol = "ssl"; ssl.ca.location = "/nowhere"; };',
     ["kafka.producer", "ssl.ca.location"]),
    ("tokens that nobody brings", 'consumer = { security.protocol = "sasl_ssl"; sasl.mechanisms = "OAUTHBEARER"; };',
     ["kafka.consumer", "OAUTHBEARER", "OIDC"]),
]


@pytest.mark.parametrize("text, words", [row[1:] for row in CLIENTS], ids=[row[0] for row in CLIENTS])
def test_a_setting_that_librdkafka_cannot_take_is_found_by_check_and_ends_run(offline, text, words):
    checked, ran = offline("check", "--offline", text=f"kafka: {{ {text} }};"), offline("run", text=f"kafka: {{ {text} }};")
    assert checked.returncode == 3 and ran.returncode == 1, (checked, ran)
    for word in words:
        assert word in checked.stdout and word in ran.stderr, (checked.stdout, ran.stderr)


def transports(done):
    rows = {row["check"]: (row["result"], row["says"]) for row in json.loads(done.stdout)["checks"]}
    return {name.split()[0]: row for name, row in rows.items() if name.endswith(" transport")}


def test_connections_not_encrypted_or_not_verified_are_named_with_the_remedy(offline):
    ask = ("check", "--offline", "--output", "json")
    local = transports(offline(*ask))
    assert {result for result, _ in local.values()} == {"ok"} and len(local) == 4, local
    far = {"DATABASE_URL": "postgresql://me@db.example/interlock", "KAFKA_BOOTSTRAP": "127.0.0.1:1,kafka.example:9092",
           "REDIS_URL": "redis://cache.example:6379", "INTERLOCK_HTTP_LISTEN": "0.0.0.0:9464"}
    done = offline(*ask, **far)
    found = transports(done)
    assert done.returncode == 0 and {result for result, _ in found.values()} == {"note"}, found
    for name, word in (("postgresql", "sslmode=verify-full"), ("kafka", "ssl.ca.location"), ("redis", "no TLS"),
                       ("http", "127.0.0.1")):
        assert word in found[name][1], found
    assert "kafka.consumer" in found["kafka"][1] and "kafka.producer" in found["kafka"][1]
    for mode, word in (("disable", "not encrypted"), ("require", "not verified"), ("verify-ca", "passes for this one")):
        url = far["DATABASE_URL"] + "?sslmode=" + mode
        assert word in transports(offline(*ask, DATABASE_URL=url))["postgresql"][1]
    assert "sslmode=disable" in transports(offline(*ask, PGSSLMODE="disable", **far))["postgresql"][1]
    safe = {"DATABASE_URL": far["DATABASE_URL"] + "?sslmode=verify-full", "KAFKA_BOOTSTRAP": "kafka.example:9092",
            "INTERLOCK_KAFKA_CONSUMER_SECURITY_PROTOCOL": "ssl", "INTERLOCK_KAFKA_PRODUCER_SECURITY_PROTOCOL": "ssl"}
    for name in ("postgresql", "kafka"):
        assert transports(offline(*ask, **safe))[name] == ("ok", "encrypted, and the server is verified")
    shipped = (ROOT / "deploy/interlock.conf").read_text()
    assert "sslmode=verify-full&sslrootcert=" in shipped and "security.protocol" in shipped


def test_secrets_are_never_printed(offline):
    text = ('database: { url = "postgresql://user:hunter2@127.0.0.1:1/x"; };\n'
            'redis: { url = "redis://:hunter2@127.0.0.1:1"; };\n'
            'kafka: { consumer = { sasl.password = "hunter2"; }; };\n')
    for arguments in (["describe", "settings"], ["describe", "settings", "--output", "json"], ["check", "--offline"]):
        done = offline(*arguments, text=text)
        assert "hunter2" not in done.stdout + done.stderr


def test_help_and_version_need_nothing(offline):
    assert offline("--help").returncode == 0
    for verb in ("run", "migrate", "topics", "publish", "audit", "check", "describe", "status", "health"):
        done = offline(verb, "--help")
        assert done.returncode == 0 and verb in done.stdout, done.stderr
    version = offline("version")
    assert version.returncode == 0 and "interlock" in version.stdout and "rdkafka" in version.stdout
