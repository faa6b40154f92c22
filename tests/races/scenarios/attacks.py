"""The six attacks."""

from harness.commands import append, create_job, create_ticket, escalate

from .background import OLD_CLOSE, OLD_CLOSE_CHECKPOINTS, OLD_TICKET, autoclose, autoclose_checkpoints, running_tour, tour
from .description import (ENTRIES, HISTORY, LEVEL, LEVELS, TICKETS_OF_JOB, Old, Scenario, applied, children_in_status,
                          document, each, in_status, keys_of, on, ordered)
from .json_fields import LENGTH, merge, old_push, push

PART = "attacks"
IN_ORDER = "SELECT count(*) FROM interlock.ticket_history WHERE ticket_id = %(b)s + 1 AND (details->>'n')::int = seq - 1"


def further(fact, offset):
    """The same fact of the aggregate `offset` ids further."""
    return fact.replace("%(b)s", f"(%(b)s + {offset})")


def changes(b):
    """100 changes of one row: keys of their own, and one array."""
    return [message for n in range(50) for message in (merge(b, {f"k{n}": n}), push(b, n))]


def old_change(n):
    return [document(lambda document, n: document.update({f"k{n}": n}) if n % 2 else old_push(document, n))]


def appends(b):
    """200 to one ticket from everywhere, and 200 to another under its own key, which keeps their order."""
    return [append(b, {"n": n}) for n in range(200)] + ordered([append(b + 1, {"n": n}) for n in range(200)])


def everything(b):
    """Jobs b, b + 200 and b + 400, tickets from b + 600 on."""
    return [*[autoclose(b) for _ in range(50)], *[autoclose_checkpoints(b + 200) for _ in range(10)],
            *changes(b + 400), *[escalate(b + 600 + n % 10) for n in range(100)],
            *[append(b + 610, {"n": n}) for n in range(200)]]


def old_everything(n):
    if n < 50:
        return [OLD_CLOSE, OLD_TICKET]
    if n < 60:
        return [on(OLD_CLOSE_CHECKPOINTS, 200)]
    if n < 160:
        return [on(old_change(n)[0], 400)]
    return [on(LEVEL, 600 + n % 10)] if n < 260 else [on(HISTORY, 610)]


ATTACKS = [
    Scenario(
        "50 autocloses of one job", PART, representative=True,
        setup=lambda b: running_tour(b, 5),
        storm=lambda b: [autoclose(b) for _ in range(50)],
        expected={"changed": 1, "autoclosed": 1, "tickets": 1, "AUTOCLOSED events": 1, "raised by it": 1},
        measure={"autoclosed": in_status("AUTOCLOSED"), "tickets": TICKETS_OF_JOB},
        audited={"AUTOCLOSED events": "SELECT count(*) FROM interlock.audit_event WHERE aggregate = 'jobneed/' || %(b)s "
                                      "AND status_new = 'AUTOCLOSED' AND status_old IS DISTINCT FROM status_new",
                 "raised by it": "SELECT count(*) FROM interlock.audit_also a JOIN interlock.audit_event e "
                                 "USING (partition_id, kafka_offset, fence) WHERE e.aggregate = 'jobneed/' || %(b)s "
                                 "AND starts_with(a.aggregate, 'ticket/')"},
        old=Old(50, each(OLD_CLOSE, OLD_TICKET))),
    Scenario(
        "100 checkpoints closed 10 times", PART,
        setup=lambda b: [tour(b, 100)],
        storm=lambda b: [autoclose_checkpoints(b) for _ in range(10)],
        expected={"changed": 1, "closed": 100},
        measure={"closed": children_in_status("AUTOCLOSED")},
        old=Old(10, each(OLD_CLOSE_CHECKPOINTS))),
    Scenario(
        "100 escalations of 10 tickets", PART, representative=True,
        setup=lambda b: [create_ticket(b + number) for number in range(10)],
        storm=lambda b: [escalate(b + n % 10) for n in range(100)],
        expected={"changed": 100, "levels": 100, "lowest": 10},
        measure={"levels": LEVELS,
                 "lowest": "SELECT min(level) FROM interlock.ticket WHERE id BETWEEN %(b)s AND %(b)s + 9"},
        old=Old(100, lambda n: [on(LEVEL, n % 10)])),
    Scenario(
        "200 appends to one ticket", PART,
        setup=lambda b: [create_ticket(b), create_ticket(b + 1)],
        storm=appends,
        expected={"changed": 400, "entries": 200, "in order": 200},
        measure={"entries": ENTRIES},
        audited={"in order": IN_ORDER},
        old=Old(200, each(HISTORY))),
    Scenario(
        "100 JSON changes of one row", PART,
        setup=lambda b: [create_job(b)],
        storm=changes,
        expected={"changed": 100, "keys": 50, "length": 50},
        measure={"keys": keys_of(), "length": LENGTH},
        old=Old(100, old_change)),
    Scenario(
        "all of it at once", PART,
        setup=lambda b: [*running_tour(b, 5), tour(b + 200, 100), create_job(b + 400),
                         *[create_ticket(b + 600 + number) for number in range(11)]],
        storm=everything,
        expected={"autoclosed": 1, "tickets": 1, "closings": 1, "closed": 100, "keys": 50, "length": 50, "levels": 100,
                  "entries": 200},
        measure={"autoclosed": in_status("AUTOCLOSED"), "tickets": TICKETS_OF_JOB,
                 "closed": further(children_in_status("AUTOCLOSED"), 200), "keys": further(keys_of(), 400),
                 "length": further(LENGTH, 400), "levels": further(LEVELS, 600), "entries": further(ENTRIES, 610)},
        audited={"closings": applied("job.autoclose")},
        old=Old(460, old_everything)),
]
