"""The audit's questions by their indexes, and a long history that costs nothing. The times are measured by bench/run."""

import subprocess

import pytest

from harness.audit_questions import HISTORY, QUESTIONS, indexes_of, reads_a_whole_table
from harness.commands import append, command
from harness.waiting import until

ROWS = 100000
INDEX_OF = {"--aggregate": "audit_event_by_aggregate", "--operation": "audit_event_by_operation",
            "--author": "audit_event_by_author", "--status": "audit_event_by_status_change",
            "--status-from": "audit_event_by_status_change", "--status-to": "audit_event_by_status_change",
            None: "audit_event_by_operation"}


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
    assert INDEX_OF[words[0] if words else None] in indexes_of(done.stdout)


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
