"""Thirty passwords, in every place where one may stand, before every output: none shows a piece of one."""

import os
import subprocess
import urllib.parse

import pytest

from harness.commands import create_ticket

# Around each character stand two words that occur nowhere else: a piece of a password is as bad as all of it.
CHARACTERS = ["/", "#", "?", "@", ":", "&", "=", "+", "%", "%zz", "%40", ";", ",", "'", '"', "\\", "[", "]", "{", "}", "<", ">",
              "|", "^", "`", "~", "!", "*", "é", "://"]
HALVES = ("Zq7hunter", "Xw9otter")
PASSWORDS = [character.join(HALVES) for character in CHARACTERS]
assert len(PASSWORDS) == 30

NAMES = ["sasl.password", "sasl.pasword", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password", "passphrase",
         "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config", "sasl.jaas.config", "credentials", "my.own.pw"]


def printed(binary, *words, text=None, path=None, **environment):
    arguments = list(words)
    if text is not None:
        path.write_text(text)
        arguments += ["--config", str(path)]
    done = subprocess.run([binary, *arguments], env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True,
                          timeout=60, check=False)
    return done.stdout + done.stderr


def assert_hidden(output, about):
    for half in HALVES:
        assert half not in output and urllib.parse.quote(half) not in output, (about, output)


def urls(password, database, redis):
    """As people write it, and as it is to be written; %65 is a letter of the word password."""
    quoted = urllib.parse.quote(password, safe="")
    for each in (password, quoted):
        yield {"DATABASE_URL": f"postgresql://me:{each}@{database}/interlock?sslpassword={each}",
               "REDIS_URL": f"redis://:{each}@{redis}"}
    yield {"DATABASE_URL": f"postgresql://me:{password}@{database}/interlock", "REDIS_URL": f"redis://me:{password}@{redis}/0"}
    yield {"DATABASE_URL": f"postgresql://me@{database}/interlock?password={password}",
           "REDIS_URL": f"redis://{password}@{redis}"}
    yield {"DATABASE_URL": f"postgresql://me@{database}/interlock?passw%6Frd={quoted}", "REDIS_URL": f"redis://:{quoted}"}


@pytest.mark.parametrize("password", PASSWORDS)
def test_no_password_of_a_url_is_printed(binary, password):
    """Nothing listens at port 1: what is said of a connection that fails is read, too."""
    for environment in urls(password, "127.0.0.1:1", "127.0.0.1:1"):
        for words, names in ((["audit", "list"], ["DATABASE_URL"]), (["describe", "settings"], ["REDIS_URL"]),
                             (["describe", "settings", "--output", "json"], list(environment))):
            only = {name: environment[name] for name in names}
            assert_hidden(printed(binary, *words, **only), (words, only))


def test_no_secret_among_librdkafka_s_settings_is_printed(binary, tmp_path):
    """A name that nobody knows may be a misspelt password."""
    for at, password in enumerate(PASSWORDS):
        name = NAMES[at % len(NAMES)]
        escaped = password.replace("\\", "\\\\").replace('"', '\\"')
        text = f'kafka: {{ consumer = {{ {name} = "{escaped}"; client.rack = "shown"; }}; }};'
        variable = {"INTERLOCK_KAFKA_PRODUCER_" + name.upper().replace(".", "_"): password}
        for words in (["describe", "settings"], ["publish", "/dev/null"], ["describe", "bounds"]):
            output = printed(binary, *words, text=text, path=tmp_path / "interlock.conf", KAFKA_BOOTSTRAP="127.0.0.1:1", **variable)
            assert_hidden(output, (words, name))
            if words == ["describe", "settings"]:
                assert "shown" in output


@pytest.mark.parametrize("password", [PASSWORDS[0], PASSWORDS[3]])
def test_no_password_shows_while_the_program_works(world, password):
    """PostgreSQL takes it, and Redis refuses it: what is said of both is read in log, status and check."""
    quoted = urllib.parse.quote(password, safe="")
    parts = urllib.parse.urlparse(world.database.url)
    redis = urllib.parse.urlparse(world.stack.redis_url)
    role = f"{world.name}_me"[-60:]
    world.database.execute(f'CREATE ROLE "{role}" SUPERUSER LOGIN PASSWORD %s', password)
    settings = {
        "DATABASE_URL": parts._replace(netloc=f"{role}:{quoted}@{parts.hostname}:{parts.port}").geturl(),
        "REDIS_URL": f"redis://me:{quoted}@{redis.hostname}:{redis.port}",
        "log_level": "debug",
    }
    worker = world.worker(**settings)
    assert world.ask(create_ticket(1)).outcome == "applied"
    listen = f"127.0.0.1:{worker.port()}"
    outputs = [worker.get(path)[1] for path in ("/", "/status", "/readyz", "/metrics")]
    for words in (["status"], ["health"], ["check"], ["audit", "list"], ["describe", "settings"]):
        done = world.verb(*words, http_listen=listen, **settings)
        outputs.append(done.stdout + done.stderr)
    assert worker.end() == 0
    for output in [*outputs, worker.text()]:
        assert_hidden(output, password)
