"""Background tasks: schedulers that run into each other and into people."""

from harness.commands import append, command, create_job, create_ticket, escalate, job_transition

from .description import (ENTRIES, HISTORY, LEVEL, LEVELS, TICKETS_OF_JOB, Old, Scenario, Step, applied, children_in_status,
                          document, each, if_none, in_status, keys_of, on, when)

PART = "background tasks"


def autoclose(b, notify="RAISETICKETNOTIFY"):
    return command("job.autoclose", {"jobneed_id": b, "notify": notify})


def autoclose_checkpoints(b):
    return command("job.autoclose_checkpoints", {"jobneed_id": b})


def tour(b, checkpoints):
    return create_job(b, checkpoints=checkpoints, first_checkpoint=b + 1)


def running_tour(b, checkpoints):
    return [tour(b, checkpoints), job_transition(b, "INPROGRESS")]


def change_checkpoint(b, child, **data):
    return command("job.update_checkpoint", {"jobneed_id": b + child, "parent_id": b, **data})


def complete(b, child):
    return [change_checkpoint(b, child, status=status) for status in ("INPROGRESS", "COMPLETED")]


OLD_CLOSE = Step("SELECT status FROM interlock.jobneed WHERE id = %(b)s", when("INPROGRESS"),
                 ("UPDATE interlock.jobneed SET status = 'AUTOCLOSED' WHERE id = %(b)s",))
OLD_TICKET = Step("SELECT count(*) FROM interlock.ticket WHERE jobneed_id = %(b)s", if_none,
                  ("INSERT INTO interlock.ticket (id, jobneed_id) VALUES (%(b)s + 500 + %(n)s, %(b)s)",))
OLD_CLOSE_CHECKPOINTS = Step(
    "SELECT array_agg(id) FROM interlock.jobneed WHERE parent_id = %(b)s AND status = 'ASSIGNED'",
    lambda row, _n: {"ids": row[0]} if row[0] else None,
    ("UPDATE interlock.jobneed SET status = 'AUTOCLOSED' WHERE id = ANY (%(ids)s)",))
OLD_MAIL = Step("SELECT mail_sent FROM interlock.jobneed WHERE id = %(b)s", lambda row, _n: None if row[0] else {},
                ("UPDATE interlock.jobneed SET mail_sent = true WHERE id = %(b)s",))
OLD_PARTIAL = Step(
    "SELECT status, (SELECT count(*) FROM interlock.jobneed c WHERE c.parent_id = j.id AND c.status = 'COMPLETED') "
    "FROM interlock.jobneed j WHERE id = %(b)s",
    lambda row, _n: {} if row[0] == "INPROGRESS" and 0 < row[1] < 5 else None,
    ("UPDATE interlock.jobneed SET status = 'PARTIALLYCOMPLETED' WHERE id = %(b)s",))


def workflow_storm(b):
    return [autoclose(b), autoclose(b), autoclose_checkpoints(b), autoclose_checkpoints(b),
            command("job.mark_mail_sent", {"jobneed_id": b}), command("job.mark_mail_sent", {"jobneed_id": b}),
            *[command("json.merge", {"aggregate": f"jobneed/{b}", "field": "other_info", "value": {f"k{step}": step}})
              for step in range(6)]]


def old_workflow(n):
    return [[OLD_CLOSE, OLD_TICKET], [OLD_CLOSE, OLD_TICKET], [OLD_CLOSE_CHECKPOINTS], [OLD_CLOSE_CHECKPOINTS], [OLD_MAIL],
            [OLD_MAIL], *[[document(lambda document, n: document.update({f"k{n}": n}))]] * 6][n]


BACKGROUND = [
    Scenario(
        "job autoclose", PART, representative=True,
        setup=lambda b: running_tour(b, 5),
        storm=lambda b: [autoclose(b) for _ in range(5)],
        expected={"changed": 1, "autoclosed": 1, "tickets": 1, "AUTOCLOSED events": 1},
        measure={"autoclosed": in_status("AUTOCLOSED"), "tickets": TICKETS_OF_JOB},
        audited={"AUTOCLOSED events": "SELECT count(*) FROM interlock.audit_event WHERE aggregate = 'jobneed/' || %(b)s "
                                      "AND status_new = 'AUTOCLOSED' AND status_old IS DISTINCT FROM status_new"},
        old=Old(5, each(OLD_CLOSE, OLD_TICKET))),
    Scenario(
        "checkpoint autoclose", PART,
        setup=lambda b: [tour(b, 10)],
        storm=lambda b: [autoclose_checkpoints(b) for _ in range(3)],
        expected={"changed": 1, "closed": 10},
        measure={"closed": children_in_status("AUTOCLOSED")},
        old=Old(3, each(OLD_CLOSE_CHECKPOINTS))),
    Scenario(
        "ticket log", PART,
        setup=lambda b: [create_ticket(b)],
        storm=lambda b: [append(b, {"n": n}) for n in range(20)],
        expected={"changed": 20, "entries": 20},
        measure={"entries": ENTRIES},
        old=Old(20, each(HISTORY))),
    Scenario(
        "escalations of 5 tickets", PART,
        setup=lambda b: [create_ticket(b + number) for number in range(5)],
        storm=lambda b: [escalate(b + number) for number in range(5) for _ in range(3)],
        expected={"changed": 15, "levels": 15},
        measure={"levels": LEVELS},
        old=Old(15, lambda n: [on(LEVEL, n % 5)])),
    Scenario(
        "partial completion", PART,
        setup=lambda b: [*running_tour(b, 5), *complete(b, 1), *complete(b, 2)],
        storm=lambda b: [autoclose(b, None) for _ in range(5)],
        expected={"changed": 1, "partly completed": 1, "completed": 2, "closed": 3},
        measure={"partly completed": in_status("PARTIALLYCOMPLETED"), "completed": children_in_status("COMPLETED"),
                 "closed": children_in_status("AUTOCLOSED")},
        old=Old(5, each(OLD_PARTIAL, OLD_CLOSE_CHECKPOINTS))),
    Scenario(
        "mail flag", PART,
        setup=lambda b: [create_job(b)],
        storm=lambda b: [command("job.mark_mail_sent", {"jobneed_id": b}) for _ in range(10)],
        expected={"changed": 1, "flagged": 1},
        measure={"flagged": "SELECT count(*) FROM interlock.jobneed WHERE id = %(b)s AND mail_sent"},
        old=Old(10, each(OLD_MAIL))),
    Scenario(
        "complete autoclose workflow", PART,
        setup=lambda b: running_tour(b, 5),
        storm=workflow_storm,
        expected={"autoclosed": 1, "tickets": 1, "closed": 5, "mails": 1, "keys": 6, "closings": 1},
        measure={"autoclosed": in_status("AUTOCLOSED"), "tickets": TICKETS_OF_JOB,
                 "closed": children_in_status("AUTOCLOSED"), "keys": keys_of(),
                 "mails": "SELECT count(*) FROM interlock.jobneed WHERE id = %(b)s AND mail_sent"},
        audited={"closings": applied("job.autoclose")},
        old=Old(12, old_workflow)),
]
