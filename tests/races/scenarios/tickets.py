"""Tickets."""

from harness.commands import append, command, create_ticket, escalate, transition

from .description import ENTRIES, HISTORY, LEVEL, LEVELS, Old, Scenario, Step, each, in_status, plus_one, when

PART = "tickets"


def old_transition(come_from, go_to):
    return Step("SELECT status FROM interlock.ticket WHERE id = %(b)s", when(come_from),
                (f"UPDATE interlock.ticket SET status = '{go_to}' WHERE id = %(b)s",))


def cancel_from_anywhere(row, _n):
    return {} if row[0] in ("NEW", "OPEN") else None


OLD_CANCEL = Step("SELECT status FROM interlock.ticket WHERE id = %(b)s", cancel_from_anywhere,
                  ("UPDATE interlock.ticket SET status = 'CANCELLED' WHERE id = %(b)s",))


# Between the look and the write it read the history, as it did for every change of a ticket.
OLD_OPEN = Step("SELECT status FROM interlock.ticket WHERE id = %(b)s", when("NEW"),
                ("UPDATE interlock.ticket SET status = 'OPEN' WHERE id = %(b)s",),
                after=("SELECT * FROM interlock.ticket_history WHERE ticket_id = %(b)s ORDER BY seq",))


def bulk(b, step):
    return command("ticket.bulk_update", {"ticket_ids": [b + number for number in range(10)], "comments": f"c{step}"})


def old_bulk(_n):
    return [Step(f"SELECT version FROM interlock.ticket WHERE id = %(b)s + {number}", plus_one,
                 (f"UPDATE interlock.ticket SET version = %(value)s, comments = 'c' || %(n)s WHERE id = %(b)s + {number}",))
            for number in range(10)]


# The old system saved whole rows: what it had read and not changed was written back with the rest.
WHOLE = "SELECT level, assigned_person_id, assigned_group_id FROM interlock.ticket WHERE id = %(b)s"
SAVE = ("UPDATE interlock.ticket SET level = %(level)s, assigned_person_id = %(person)s, assigned_group_id = %(group)s "
        "WHERE id = %(b)s",)


def old_escalate(row, _n):
    return {"level": row[0] + 1, "person": row[1], "group": row[2]}


def old_assign(row, _n):
    return {"level": row[0], "person": 7, "group": 8}


def cancelling_storm(b):
    storm = [transition(b, "OPEN") for _ in range(5)] + [transition(b, "CANCELLED") for _ in range(5)]
    return storm + [transition(b, "CLOSED") for _ in range(2)]  # from nowhere here


TICKETS = [
    Scenario(
        "escalations of one ticket", PART, representative=True,
        setup=lambda b: [create_ticket(b)],
        storm=lambda b: [escalate(b) for _ in range(5)],
        expected={"changed": 5, "levels": 5, "entries": 5},
        measure={"levels": LEVELS, "entries": ENTRIES},
        old=Old(5, each(LEVEL, HISTORY))),
    Scenario(
        "ticket status transitions", PART,
        setup=lambda b: [create_ticket(b)],
        storm=lambda b: [transition(b, "OPEN") for _ in range(3)],
        expected={"changed": 1, "open": 1, "entries": 1},
        measure={"open": in_status("OPEN", "ticket"), "entries": ENTRIES},
        old=Old(3, each(old_transition("NEW", "OPEN"), HISTORY))),
    Scenario(
        "invalid ticket transition blocked", PART,
        setup=lambda b: [create_ticket(b)],
        storm=cancelling_storm,
        expected={"cancelled": 1, "closed": 0},
        measure={"cancelled": in_status("CANCELLED", "ticket"), "closed": in_status("CLOSED", "ticket")},
        old=Old(10, lambda n: [OLD_CANCEL if n % 2 else OLD_OPEN])),
    Scenario(
        "history appends", PART,
        setup=lambda b: [create_ticket(b)],
        storm=lambda b: [append(b, {"n": n}) for n in range(50)],
        expected={"changed": 50, "entries": 50},
        measure={"entries": ENTRIES},
        old=Old(50, each(HISTORY))),
    Scenario(
        "bulk update of 10", PART,
        setup=lambda b: [create_ticket(b + number) for number in range(10)],
        storm=lambda b: [bulk(b, step) for step in range(5)],
        expected={"changed": 5, "versions": 50, "comments": 1},
        measure={"versions": "SELECT sum(version) - 10 FROM interlock.ticket WHERE id BETWEEN %(b)s AND %(b)s + 9",
                 "comments": "SELECT count(DISTINCT comments) FROM interlock.ticket WHERE id BETWEEN %(b)s AND %(b)s + 9"},
        old=Old(5, old_bulk)),
    Scenario(
        "escalation with assignment change", PART,
        setup=lambda b: [create_ticket(b)],
        storm=lambda b: [escalate(b) for _ in range(5)] + [command("ticket.assign", {
            "ticket_id": b, "assigned_person_id": 7, "assigned_group_id": 8})],
        expected={"changed": 6, "levels": 5, "assigned": 1},
        measure={"levels": LEVELS, "assigned": "SELECT count(*) FROM interlock.ticket WHERE id = %(b)s "
                                               "AND assigned_person_id = 7 AND assigned_group_id = 8"},
        old=Old(6, lambda n: [Step(WHOLE, old_escalate if n < 5 else old_assign, SAVE)])),
]
