"""Work that takes long says where it is: a line that is rewritten on a terminal, now and then a plain one elsewhere. Work
that ends soon says nothing."""

import subprocess
import time

import pytest

from harness.commands import create_ticket
from harness.terminal import on_terminal
from harness.waiting import until
from harness.wires import wires

SAYS = "interlock audit verify: looking for the first audit rows"
LOCK = "LOCK TABLE interlock.audit_event IN ACCESS EXCLUSIVE MODE"


def waiting(world):
    return world.database.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = "
                                "'interlock-audit-verify' AND wait_event_type = 'Lock' "
                                "AND datname = current_database()")


@pytest.fixture
def answered(world):
    world.worker()
    world.ask(create_ticket(1))
    world.drain()
    return world


@pytest.mark.seconds(60)
def test_a_verification_that_takes_long_says_so_on_a_line_of_its_own(answered, tmp_path):
    world = answered
    with wires(world) as made, open(tmp_path / "progress", "w+", encoding="utf-8") as progress:
        environment = world.environment(DATABASE_URL=made.settings["DATABASE_URL"])
        with world.database.holding(LOCK) as holder:
            piped = subprocess.Popen([world.binary, "audit", "verify"], env=environment, stderr=progress,
                                     stdout=subprocess.PIPE, text=True)
            with on_terminal(world.binary, environment, "audit", "verify") as shown:
                until("both wait for the table", lambda: waiting(world) == 2, 9)
                made.database.silence()  # so that no timeout of a session ends the wait
                holder.rollback()
                until("the terminal has a line", lambda: "\r" + SAYS in shown.seen, 20)
                until("the pipe has one", lambda: SAYS in (tmp_path / "progress").read_text(), 30)
                made.database.heal()
                code, output, seen = shown.end()
                assert code == 0 and "0 holes" in output and "\r" not in output
                assert "\n" not in seen and seen.endswith(" \r")
            output = piped.communicate(timeout=60)[0]
        progress.seek(0)
        said = progress.read()
    assert piped.returncode == 0 and "0 holes" in output and "\r" not in output
    assert "\r" not in said and all(line.startswith(SAYS) for line in said.splitlines())


@pytest.mark.parametrize("verb, held, says", [
    (("prune", "--older-than", "720h"), "LOCK TABLE interlock.inbox IN ACCESS EXCLUSIVE MODE",
     "interlock prune: stretches of inbox"),
    (("migrate", "up"), "SELECT pg_advisory_xact_lock(7597137600480830315)", "interlock migrate up: waiting for other migrations"),
])
def test_a_prune_and_a_migration_that_wait_say_for_what(world, verb, held, says):
    with world.database.holding(held) as holder, on_terminal(world.binary, world.environment(), *verb) as shown:
        until("the terminal has a line", lambda: "\r" + says in shown.seen, 9)
        holder.rollback()
        code, output, seen = shown.end()
    assert code == 0 and output and "\r" not in output
    assert "\n" not in seen and seen.endswith(" \r")


@pytest.mark.seconds(30)
def test_a_verb_that_ends_soon_says_nothing(answered):
    for verb in (("audit", "verify"), ("prune", "--older-than", "720h"), ("replay", "--all"), ("migrate", "up")):
        begun = time.monotonic()
        with on_terminal(answered.binary, answered.environment(), *verb) as shown:
            code, output, seen = shown.end()
        assert code == 0 and output, verb
        assert seen == "" or time.monotonic() - begun > 2, verb
