"""The audit's questions by their indexes, and a long history that costs nothing. The times are measured by bench/run."""

import subprocess

import pytest

from harness.audit_questions import HISTORY, QUESTIONS, indexes_of, reads_a_whole_table
from harness.commands import append, command, create_ticket, transition
from harness.waiting import holds_for, until

ROWS = 100000
# A frequent value's newest rows are found by time, a rare value's by the value.
INDEX_OF = {"aggregate": "audit_event_by_value", "aggregate with one in 50 of all rows": "audit_event_by_time",
            "operation, a rare one": "audit_event_by_value", "author who never was": "audit_event_by_value",
            "status change to, a rare one": "audit_event_by_status_change", "the newest of all": "audit_event_by_time"}


@pytest.fixture(scope="module")
def filled(make_world):
    world = make_world("audit_questions")
    done = subprocess.run(["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-v", f"rows={ROWS}", "-d", world.database.url, "-f",
                           HISTORY], capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    yield world
    world.close()
    world.forget()


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_by_its_index(filled, name):
    words = QUESTIONS[name]
    done = filled.verb("audit", "list", *words, "--plan")
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    assert not reads_a_whole_table(done.stdout)
    found = [index for index in indexes_of(done.stdout) if index.startswith("audit_event_by")]
    assert found and INDEX_OF.get(name, found[0]) in found


def test_a_rare_value_is_found_by_the_value_whatever_the_server_thinks_of_bitmaps_and_disks(filled):
    """An index by values is read by bitmap scans alone."""
    name = filled.database.value("SELECT current_database()")
    settings = {"enable_bitmapscan": "off", "random_page_cost": "1000"}
    try:
        for setting, value in settings.items():
            filled.database.execute(f'ALTER DATABASE "{name}" SET {setting} = {value}')
        plan = filled.verb("audit", "list", *QUESTIONS["operation, a rare one"], "--plan").stdout
    finally:
        filled.database.execute(f'ALTER DATABASE "{name}" RESET ALL')
    assert "audit_event_by_value" in indexes_of(plan), plan


def pending_pages(world, index):
    return world.database.value("SELECT pending_pages FROM pgstatginindex(%s)", f"interlock.{index}")


def test_new_rows_are_merged_into_the_indexes_by_the_pool_and_found_before_that(world):
    """Not by a command's transaction: what waits there is gone without another command."""
    world.database.execute("CREATE EXTENSION pgstattuple")
    indexes = ["audit_event_by_value", "audit_event_by_status_change"]
    worker = world.worker()
    world.ask(create_ticket(1))
    world.ask(transition(1, "OPEN"))
    assert len(world.verb("audit", "list", "--aggregate", "ticket/1", "--output", "json").stdout.split('"event_id"')) == 3
    until("they are merged", lambda: [pending_pages(world, index) for index in indexes] == [0, 0])
    worker.end()
    world.worker()
    with world.database.holding("SELECT pg_advisory_xact_lock(4812407, 'interlock'::regnamespace::oid::int)"):
        world.ask(transition(1, "ONHOLD"))                       # somebody else merges, as far as it can see
        holds_for("they wait", lambda: all(pending_pages(world, index) > 0 for index in indexes), 7)
        assert len(world.verb("audit", "list", "--status-to", "ONHOLD", "--output", "json").stdout.split('"event_id"')) == 2
    world.ask(transition(1, "OPEN"))
    until("they are merged", lambda: [pending_pages(world, index) for index in indexes] == [0, 0])


def test_an_append_reads_nothing_of_the_history(world):
    """Whatever its length: no scan of the table, by whatever index, and the row itself is written once."""
    world.database.execute("INSERT INTO interlock.ticket (id, status, history_count) VALUES (1, 'OPEN', 100000)")
    world.database.execute("INSERT INTO interlock.ticket_history (ticket_id, seq, occurred_at, action)"
                           " SELECT 1, n, now(), 'NOTE' FROM generate_series(1, 100000) n")

    def scans():
        return world.database.row("SELECT seq_scan + coalesce(idx_scan, 0), n_tup_ins FROM pg_stat_user_tables"
                                  " WHERE relname = 'ticket_history'")
    until("the fill is counted", lambda: scans()[1] == 100000)
    before = scans()[0]
    world.worker()
    sent = [append(1, f"note {n}") for n in range(20)]
    for message in sent:
        assert world.ask(message).outcome == "applied"
    assert world.ask(command("ticket.escalate", {"ticket_id": 1})).outcome == "applied"
    until("the appends are counted", lambda: scans()[1] == 100021)
    assert scans() == (before, 100021)
    assert world.database.row("SELECT max(seq), count(*) FROM interlock.ticket_history") == (100021, 100021)
