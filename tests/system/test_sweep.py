"""Time into commands: what `interlock sweep` finds due, and that sweeping again, or twice at once, changes nothing more."""

import json
import re
import signal
import subprocess
import threading

import pytest

from harness.commands import escalate, job_transition, transition
from harness.waiting import until

DAY = 24 * 60
FINAL_JOB = ("COMPLETED", "AUTOCLOSED")
SWEPT = ("TASK", "INTERNALTOUR", "EXTERNALTOUR", "PPM", "SITEREPORT")
NOT_SWEPT = ("TICKET", "OTHER", "INCIDENTREPORT", "ASSETLOG", "ASSETAUDIT", "ASSETMAINTENANCE", "POSTING_ORDER", "SITESURVEY")


def add_job(world, number, expired_minutes=10, **columns):
    """A jobneed that expired so many minutes ago; None: never."""
    row = {"identifier": "TASK", "status": "ASSIGNED", "parent_id": None, "dynamic": False, "other_info": "{}", "version": 4,
           **columns}
    world.database.execute(
        "INSERT INTO interlock.jobneed (id, version, parent_id, starts_at, expires_at, dynamic, status, identifier, type,"
        " other_info) VALUES (%s, %s, %s, now() - interval '3 days', now() - %s * interval '1 minute', %s, %s, %s,"
        " 'SCHEDULE', %s)", number, row["version"], row["parent_id"], expired_minutes, row["dynamic"], row["status"],
        row["identifier"], row["other_info"])


def add_ticket(world, number, age_minutes=61, **columns):
    row = {"status": "NEW", "level": 0, "site_id": 1, "category": "leak", "client_id": 1, "version": 2, **columns}
    world.database.execute(
        "INSERT INTO interlock.ticket (id, version, status, level, site_id, category, client_id, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, now() - %s * interval '1 minute')", number, row["version"], row["status"],
        row["level"], row["site_id"], row["category"], row["client_id"], age_minutes)


def add_matrix(world, *intervals, site=1, category="leak", client=1):
    """intervals[0] is level 1's, in minutes."""
    for level, minutes in enumerate(intervals, 1):
        world.database.execute("INSERT INTO interlock.escalation_matrix (site_id, category, client_id, level,"
                               " assigned_person_id, interval_minutes) VALUES (%s, %s, %s, %s, %s, %s)", site, category,
                               client, level, 100 + level, minutes)


def sweep(world, what, *words, code=0, **settings):
    done = world.verb("sweep", what, *words, "--output", "json", **settings)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def due(world, what, *words):
    """The numbers of the aggregates that a dry run lists."""
    answer = sweep(world, what, *words)
    assert answer["executed"] is False and answer["published"] == 0 and answer["due"] == len(answer["commands"])
    return [int(each["aggregate"].split("/")[1]) for each in answer["commands"]]


def sent(world):
    return sum(world.kafka.ends(world.topic).values())


def answers(world, count):
    """The events of what was swept, when there are so many. Never more: that is asked after a drain."""
    until(f"{count} commands are answered", lambda: len(world.audit.all()) >= count)
    return world.audit.all()


def answered_ids(world, count):
    return [event.identity[1] for event in answers(world, count)]


# ---- what is due -----------------------------------------------------------------------------------------

def test_a_job_is_due_by_every_condition_of_the_domain(world):
    cases = [(1, True, {})]
    cases += [(10 + i, True, {"identifier": name}) for i, name in enumerate(SWEPT)]
    cases += [(20 + i, False, {"identifier": name}) for i, name in enumerate(NOT_SWEPT)]
    statuses = ("ASSIGNED", "INPROGRESS", "PARTIALLYCOMPLETED", "COMPLETED", "AUTOCLOSED", "MAINTENANCE", "STANDBY", "WORKING")
    cases += [(40 + i, name not in FINAL_JOB, {"status": name}) for i, name in enumerate(statuses)]
    cases += [(60, False, {"parent_id": 1}), (61, False, {"dynamic": True}),
              (62, False, {"other_info": '{"autoclosed_by_server": true}'}),
              (63, True, {"other_info": '{"autoclosed_by_server": false}'}),
              (64, False, {"expired_minutes": None}),
              # The window: one day, up to now.
              (70, False, {"expired_minutes": -1}), (71, True, {"expired_minutes": 0}),
              (72, True, {"expired_minutes": DAY - 1}), (73, False, {"expired_minutes": DAY}),
              (74, False, {"expired_minutes": DAY + 1}), (75, False, {"expired_minutes": 2 * DAY})]
    for number, _, columns in cases:
        add_job(world, number, **columns)
    found = due(world, "jobs")
    assert sorted(found) == [number for number, expected, _ in cases if expected]
    assert len(found) == len(set(found))


def test_a_ticket_is_due_when_the_matrix_of_its_next_level_says_so(world):
    add_matrix(world, 60, 90)
    add_matrix(world, 0, site=2)
    cases = [(1, True, {}), (2, False, {"age_minutes": 59}), (3, True, {"age_minutes": 60}),
             (4, False, {"level": 1, "age_minutes": 89}), (5, True, {"level": 1, "age_minutes": 91}),
             (6, False, {"level": 2, "age_minutes": 100 * DAY}),   # the matrix ends at level 2
             (7, False, {"site_id": None}), (8, False, {"category": None}), (9, False, {"client_id": None}),
             (10, False, {"site_id": 3}), (11, False, {"category": "other"}), (12, False, {"client_id": 2}),
             (13, True, {"site_id": 2, "age_minutes": 0})]
    cases += [(20 + i, status not in ("CLOSED", "CANCELLED"), {"status": status})
              for i, status in enumerate(("NEW", "OPEN", "ONHOLD", "RESOLVED", "CLOSED", "CANCELLED"))]
    for number, _, columns in cases:
        add_ticket(world, number, **columns)
    assert sorted(due(world, "tickets")) == [number for number, expected, _ in cases if expected]


def test_a_dry_run_lists_and_publishes_nothing(world):
    add_job(world, 7, version=3)
    add_matrix(world, 60)
    add_ticket(world, 8, version=5)
    answer = sweep(world, "jobs")
    assert [(each["id"], each["type"], each["aggregate"], each["expectedversion"]) for each in answer["commands"]] == \
        [("sweep:job.autoclose:jobneed/7:v3", "job.autoclose", "jobneed/7", 3)]
    text = world.verb("sweep", "tickets")
    assert text.returncode == 0 and "ticket/8 version 5 due " in text.stdout
    assert "sweep:ticket.escalate:ticket/8:v5" in text.stdout and "add --execute" in text.stdout
    assert sent(world) == 0


def test_due_commands_fill_several_pages(world):
    world.database.execute(
        "INSERT INTO interlock.jobneed (id, starts_at, expires_at, status, identifier, type) SELECT id,"
        " now() - interval '2 days', now() - interval '1 hour', CASE WHEN id % 2 = 0 THEN 'COMPLETED' ELSE 'ASSIGNED' END,"
        " 'TASK', 'SCHEDULE' FROM generate_series(1, 5000) id")   # one time for all: the key goes on by id
    assert due(world, "jobs") == list(range(1, 5000, 2))
    assert sweep(world, "jobs", "--execute")["published"] == 2500
    assert sent(world) == 2500


# ---- executing -------------------------------------------------------------------------------------------

def test_an_expired_job_is_closed_once_however_often_it_is_swept(world):
    world.worker()
    add_job(world, 7, identifier="INTERNALTOUR", version=3)
    add_job(world, 8, identifier="INTERNALTOUR", parent_id=7)
    assert sweep(world, "jobs", "--execute", "--reason", "test")["published"] == 1
    assert sweep(world, "jobs", "--execute")["published"] in (0, 1)     # answered yet, or not
    until("it is closed", lambda: world.database.value("SELECT status FROM interlock.jobneed WHERE id = 7") == "AUTOCLOSED")
    world.drain()
    assert sweep(world, "jobs", "--execute") == {"sweep": "jobs", "executed": True, "topic": world.topic, "commands": [],
                                                 "due": 0, "published": 0}
    assert world.database.rows("SELECT id, status, version, other_info FROM interlock.jobneed ORDER BY id") == [
        (7, "AUTOCLOSED", 4, {"autoclosed_by_server": True, "email_sent": False, "ticket_generated": False}),
        (8, "AUTOCLOSED", 4, {"autoclosed_by_server": True})]
    assert answered_ids(world, 1) == ["sweep:job.autoclose:jobneed/7:v3"]
    assert world.audit.all()[0].outcome == "applied"
    assert world.database.row("SELECT changed_by, command_source FROM interlock.audit_event") == ("sweep", "/interlock/sweep")


def test_a_job_tells_whom_the_sweep_says(world):
    world.worker()
    add_job(world, 7)
    assert sweep(world, "jobs", "--execute", "--notify", "RAISETICKETNOTIFY")["published"] == 1
    until("its ticket is raised", lambda: world.database.value("SELECT count(*) FROM interlock.ticket WHERE jobneed_id = 7"))
    assert world.database.value("SELECT other_info ->> 'ticket_generated' FROM interlock.jobneed WHERE id = 7") == "true"


def test_a_ticket_climbs_one_level_a_sweep_as_far_as_its_age_allows(world):
    world.worker()
    add_matrix(world, 60, 90, 200)
    add_ticket(world, 5, age_minutes=100, version=2)
    for expected in (1, 1, 0, 0):
        assert sweep(world, "tickets", "--execute")["published"] == expected
        world.drain()
    assert world.database.row("SELECT level, assigned_person_id, version FROM interlock.ticket WHERE id = 5") == (2, 102, 4)
    assert answered_ids(world, 2) == ["sweep:ticket.escalate:ticket/5:v2", "sweep:ticket.escalate:ticket/5:v3"]


def test_two_sweepers_at_once_change_nothing_more_than_one(world):
    add_matrix(world, 60, 100 * DAY)
    for number in range(1, 51):
        add_job(world, number)
        add_ticket(world, number)
    results = []   # nothing is applied meanwhile, so that each of them finds all

    def run(what):
        results.append(sweep(world, what, "--execute"))
    threads = [threading.Thread(target=run, args=(what,)) for what in ("jobs", "tickets") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each["published"] for each in results] == [50] * 4
    assert sent(world) == 200
    world.worker()
    world.drain()
    assert sorted(answered_ids(world, 100)) == sorted([f"sweep:job.autoclose:jobneed/{n}:v4" for n in range(1, 51)] +
                                                      [f"sweep:ticket.escalate:ticket/{n}:v2" for n in range(1, 51)])
    assert {event.outcome for event in world.audit.all()} == {"applied"}
    assert world.database.row("SELECT count(*), min(level), max(level) FROM interlock.ticket") == (50, 1, 1)
    assert world.database.value("SELECT count(*) FROM interlock.jobneed WHERE status = 'AUTOCLOSED' AND version = 5") == 50
    assert due(world, "jobs") == due(world, "tickets") == []


def test_a_refused_command_is_made_again_when_the_row_has_moved(world):
    world.worker()
    add_job(world, 7, identifier="PPM", status="WORKING", version=3)   # WORKING may not be autoclosed
    assert sweep(world, "jobs", "--execute")["published"] == 1
    world.drain()
    assert [event.reason for event in answers(world, 1)] == ["invalid_transition"]
    assert due(world, "jobs") == []                                    # refused, and not asked again as it stands
    assert world.ask(job_transition(7, "MAINTENANCE")).outcome == "applied"
    assert due(world, "jobs") == [7]
    assert sweep(world, "jobs", "--execute")["commands"][0]["id"] == "sweep:job.autoclose:jobneed/7:v4"


def test_a_row_that_moved_after_it_was_read_refuses_and_the_next_sweep_finds_it(world):
    add_matrix(world, 60)
    add_ticket(world, 5, version=2)
    assert sweep(world, "tickets", "--execute")["published"] == 1
    world.database.execute("UPDATE interlock.ticket SET version = 3, status = 'OPEN' WHERE id = 5")
    world.worker()
    world.drain()
    assert [event.reason for event in answers(world, 1)] == ["stale_object"]
    assert sweep(world, "tickets", "--execute")["published"] == 1
    world.drain()
    assert world.database.row("SELECT level, version FROM interlock.ticket WHERE id = 5") == (1, 4)
    assert [event.outcome for event in answers(world, 2)] == ["rejected", "applied"]


# ---- again and again -------------------------------------------------------------------------------------

class Sweeper:
    def __init__(self, world, *words, **settings):
        self.log = world.log_directory / f"{world.name}.sweeper.log"
        self.out = world.log_directory / f"{world.name}.sweeper.out.log"
        with open(self.log, "wb") as log, open(self.out, "wb") as out:
            self.process = subprocess.Popen([world.binary, "sweep", *words], env=world.environment(**settings),
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=log)

    def text(self):
        return self.log.read_text()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(20)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)


@pytest.fixture
def sweeper(world):
    made = []

    def make(*words, **settings):
        made.append(Sweeper(world, *words, **settings))
        return made[-1]
    yield make
    for each in made:
        each.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_sweeper_sweeps_every_so_often_until_it_is_stopped(world, sweeper, number):
    world.worker()
    running = sweeper("jobs", "--every", "200ms", "--execute")
    for job in (1, 2):
        add_job(world, job)
        until(f"job {job} is closed", lambda job=job: world.database.value(
            "SELECT status FROM interlock.jobneed WHERE id = %s", job) == "AUTOCLOSED")
    assert running.end(number) == 0
    assert "ended" in running.text()
    assert world.database.count("audit_event") == 2


@pytest.mark.breaks_stack
def test_a_sweeper_survives_postgresql_and_says_so(world, sweeper):
    running = sweeper("jobs", "--every", "200ms", "--execute")
    world.stack.stop("postgresql")
    try:
        until("it says that PostgreSQL is gone", lambda: re.search(r"PostgreSQL at .*trying again", running.text()))
    finally:
        world.stack.start("postgresql")
    add_job(world, 1)
    until("it publishes again", lambda: sent(world) >= 1)
    until("it says that it works again", lambda: "works again after" in running.text())
    assert running.end() == 0


@pytest.mark.breaks_stack
@pytest.mark.seconds(150)
def test_a_sweeper_survives_kafka_and_says_so(world, sweeper):
    running = sweeper("jobs", "--every", "200ms", "--execute")
    world.stack.kill("kafka")  # after SIGTERM a lone broker takes half a minute
    try:
        add_job(world, 1)
        until("it says that Kafka is gone", lambda: re.search(r"Kafka at .*trying again", running.text()), 60)
    finally:
        world.stack.start("kafka")
    world.worker()
    until("the job is closed", lambda: world.database.value("SELECT status FROM interlock.jobneed") == "AUTOCLOSED", 60)
    assert running.end() == 0
    assert world.database.count("audit_event") == 1


def test_the_sweeper_ends_at_once_while_nothing_answers(world, sweeper):
    running = sweeper("jobs", "--every", "1h", DATABASE_URL="postgresql://127.0.0.1:1/none")
    until("it says so", lambda: "trying again" in running.text())
    assert running.end() == 0


# ---- errors ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("words, says", [
    ([], "accepted are jobs, tickets"), (["job"], "accepted are jobs, tickets"), (["jobs", "tickets"], "accepted are"),
    (["jobs", "--every", "60"], "--every 60"), (["jobs", "--every", "1us"], "from 100ms"), (["jobs", "--every"], "needs a value"),
    (["jobs", "--notify", "X"], "AUTOCLOSENOTIFY"), (["tickets", "--notify", "AUTOCLOSENOTIFY"], "for jobs"),
    (["jobs", "--now"], "unknown option")])
def test_a_wrong_word_is_named(world, words, says):
    done = world.verb("sweep", *words)
    assert (done.returncode, done.stdout) == (1, "") and says in done.stderr


def test_a_service_that_does_not_answer_is_named(world):
    add_job(world, 1)
    done = world.verb("sweep", "jobs", DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/x")
    assert done.returncode == 1 and "PostgreSQL at 127.0.0.1:1" in done.stderr and "hunter2" not in done.stderr
    answer = sweep(world, "jobs", "--execute", "--topic", f"{world.name}.nowhere", code=1)
    assert answer["published"] == 0 and "nowhere" in answer["failed"]


# ---- cost ------------------------------------------------------------------------------------------------

def plan(world, what):
    done = world.verb("sweep", what, "--plan")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_sweeps_read_by_their_index(world):
    world.database.execute(
        "INSERT INTO interlock.jobneed (id, starts_at, expires_at, status, identifier, type) SELECT id, '2020-01-01',"
        " now() - id * interval '1 minute', 'ASSIGNED', 'TASK', 'SCHEDULE' FROM generate_series(1, 20000) id")
    world.database.execute(
        "INSERT INTO interlock.ticket (id, status, created_at, site_id, category, client_id) SELECT id,"
        " CASE WHEN id % 4 = 0 THEN 'OPEN' ELSE 'CLOSED' END, now() - id * interval '1 minute', 1, 'leak', 1"
        " FROM generate_series(1, 20000) id")
    add_matrix(world, 60)
    world.database.execute("ANALYZE interlock.jobneed, interlock.ticket, interlock.escalation_matrix")
    for what, index in (("jobs", "jobneed_expiring"), ("tickets", "ticket_not_final")):
        text = plan(world, what)
        print(text)
        assert re.search(rf"Index (Only )?Scan using {index} ", text), text
        assert "Seq Scan on jobneed" not in text and "Seq Scan on ticket" not in text
        assert int(re.search(r"\(actual time=\S+ rows=(\d+)", text[text.index("CTE page"):]).group(1)) <= 1000


def test_the_indexes_of_the_sweeps_leave_updates_hot(world):
    """Escalations, notes, changes of status: none of them writes an index, but a ticket's end."""
    def hot(table):
        return world.database.row("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s", table)
    world.worker()
    add_ticket(world, 1)
    add_job(world, 1)
    steps = [transition(1, "OPEN"), escalate(1), transition(1, "RESOLVED"), job_transition(1, "INPROGRESS"),
             job_transition(1, "COMPLETED")]
    for step in steps:
        assert world.ask(step).outcome == "applied"
    until("the updates are counted", lambda: (hot("ticket")[0], hot("jobneed")[0]) == (3, 2))
    assert (hot("ticket"), hot("jobneed")) == ((3, 3), (2, 2))
    assert world.ask(transition(1, "CLOSED")).outcome == "applied"
    until("the last one is counted", lambda: hot("ticket")[0] == 4)
    assert hot("ticket") == (4, 3)
