"""The job workflow: parents, checkpoints, status."""

from harness.commands import command, create_job, job_transition

from .background import change_checkpoint, complete, running_tour, tour
from .description import (RAISE_VERSION, VERSIONS, Hold, Old, Scenario, Step, children_in_status, document, each, in_status,
                          nothing, ordered, when)
from .json_fields import merge

PART = "job workflow"
REMARKED = "SELECT count(*) FROM interlock.jobneed WHERE parent_id = %(b)s AND remarks IS NOT NULL"
REMARKS = "SELECT count(DISTINCT remarks) FROM interlock.jobneed WHERE parent_id = %(b)s"
STATUS = "SELECT status FROM interlock.jobneed WHERE id = %(b)s"


def remark(child):
    """A checkpoint, and its parent's version with it, each by itself."""
    return [Step("SELECT 1", nothing, (f"UPDATE interlock.jobneed SET remarks = 'x' WHERE id = %(b)s + {child}",)),
            RAISE_VERSION]


def set_status(allowed, status):
    return Step(STATUS, lambda row, _n: {} if row[0] in allowed else None,
                (f"UPDATE interlock.jobneed SET status = '{status}' WHERE id = %(b)s",))


# The old system saved whole rows: who assigned a person wrote the status back that it had read.
SAVE_PERSON = Step("SELECT status, version FROM interlock.jobneed WHERE id = %(b)s",
                   lambda row, _n: {"status": row[0], "value": row[1] + 1},
                   ("UPDATE interlock.jobneed SET status = %(status)s, version = %(value)s, assigned_person_id = 7 "
                    "WHERE id = %(b)s",))


def assign(b, person):
    return command("job.assign", {"jobneed_id": b, "assigned_person_id": person})


def bulk(b, text):
    return command("job.bulk_update_checkpoints", {"parent_id": b, "checkpoints": [
        {"jobneed_id": b + child, "remarks": text} for child in range(1, 6)]})


def old_bulk(_n):
    return [Step("SELECT 1", nothing, (f"UPDATE interlock.jobneed SET remarks = 'r' || %(n)s WHERE id = %(b)s + {child}",))
            for child in range(1, 6)] + [RAISE_VERSION]


def old_pair(side):
    return document(lambda document, n: document.update({side: n}))


BUSY = Step("SELECT version FROM interlock.jobneed WHERE id = %(b)s FOR UPDATE NOWAIT",
            lambda row, _n: {"value": row[0] + 1},
            ("UPDATE interlock.jobneed SET version = %(value)s WHERE id = %(b)s",))


def life(b):
    """In order, by one key."""
    return ordered([job_transition(b, "INPROGRESS"), *complete(b, 1), *complete(b, 2), *complete(b, 3),
                    job_transition(b, "COMPLETED")])


def old_life(n):
    """Every step a process of its own that looks whether it may go on."""
    return [[set_status(("ASSIGNED",), "INPROGRESS")],
            *[[Step(f"SELECT status FROM interlock.jobneed WHERE id = %(b)s + {child}", when(come_from),
                    (f"UPDATE interlock.jobneed SET status = '{go_to}' WHERE id = %(b)s + {child}",))]
              for child in (1, 2, 3) for come_from, go_to in (("ASSIGNED", "INPROGRESS"), ("INPROGRESS", "COMPLETED"))],
            [set_status(("INPROGRESS",), "COMPLETED")]][n]


JOBS = [
    Scenario(
        "parent and child", PART,
        setup=lambda b: [tour(b, 1)],
        storm=lambda b: [change_checkpoint(b, 1, remarks=f"r{n}") for n in range(5)] + [assign(b, 7 + n) for n in range(5)],
        expected={"changed": 10, "versions": 11, "remarked": 1},
        measure={"versions": VERSIONS, "remarked": REMARKED},
        old=Old(10, lambda n: remark(1) if n < 5 else [SAVE_PERSON])),
    Scenario(
        "10 children at once", PART,
        setup=lambda b: [tour(b, 10)],
        storm=lambda b: [change_checkpoint(b, child, remarks="x") for child in range(1, 11)],
        expected={"changed": 10, "remarked": 10, "versions": 11},
        measure={"remarked": REMARKED, "versions": VERSIONS},
        old=Old(10, lambda n: remark(1 + n))),
    Scenario(
        "job status transitions", PART,
        setup=lambda b: running_tour(b, 1),
        storm=lambda b: [job_transition(b, status) for status in ["COMPLETED"] * 3 + ["PARTIALLYCOMPLETED"] * 2],
        expected={"completed": 1},
        measure={"completed": in_status("COMPLETED")},
        old=Old(5, lambda n: [set_status(("INPROGRESS", "PARTIALLYCOMPLETED"), "COMPLETED") if n < 3 else
                              set_status(("INPROGRESS",), "PARTIALLYCOMPLETED")])),
    Scenario(
        "invalid job transition blocked", PART,
        setup=lambda b: running_tour(b, 1),
        storm=lambda b: [job_transition(b, status) for status in ["COMPLETED", "AUTOCLOSED"] * 3 + ["ASSIGNED"] * 2],
        expected={"changed": 1, "assigned": 0},
        measure={"assigned": in_status("ASSIGNED")},
        old=Old(6, lambda n: [set_status(("INPROGRESS",), "COMPLETED" if n % 2 else "AUTOCLOSED")])),
    Scenario(
        "bulk children", PART,
        setup=lambda b: [tour(b, 5)],
        storm=lambda b: [bulk(b, f"r{n}") for n in range(5)],
        expected={"changed": 5, "versions": 6, "remarks": 1},
        measure={"versions": VERSIONS, "remarks": REMARKS},
        old=Old(5, old_bulk)),
    Scenario(
        "lock prevents corruption", PART,
        setup=lambda b: [create_job(b)],
        storm=lambda b: [merge(b, {"left": n, "right": n}) for n in range(20)],
        expected={"changed": 20, "whole": 1, "versions": 21},
        measure={"versions": VERSIONS,
                 "whole": "SELECT count(*) FROM interlock.jobneed WHERE id = %(b)s AND other_info->'left' = other_info->'right'"},
        old=Old(20, each(old_pair("left"), old_pair("right"), RAISE_VERSION))),
    Scenario(
        "job lock timeout", PART,
        setup=lambda b: [create_job(b)],
        storm=lambda b: [merge(b, {f"k{n}": n}) for n in range(5)],
        expected={"changed": 5, "versions": 6},
        measure={"versions": VERSIONS},
        hold=Hold(row="SELECT 1 FROM interlock.jobneed WHERE id = %(b)s FOR UPDATE", redis="jobneed/{b}", for_good=True),
        old=Old(5, each(BUSY))),
    Scenario(
        "parent and status at once", PART,
        setup=lambda b: running_tour(b, 5),
        storm=lambda b: [*[change_checkpoint(b, child, remarks="x") for child in range(1, 6)], assign(b, 7),
                         job_transition(b, "COMPLETED")],
        expected={"changed": 7, "completed": 1, "remarked": 5, "versions": 9},
        measure={"completed": in_status("COMPLETED"), "remarked": REMARKED, "versions": VERSIONS},
        old=Old(7, lambda n: remark(1 + n) if n < 5 else [SAVE_PERSON] if n == 5 else
                [set_status(("INPROGRESS",), "COMPLETED"), RAISE_VERSION])),
    Scenario(
        "complete life cycle", PART,
        setup=lambda b: [tour(b, 3)],
        storm=life,
        expected={"changed": 8, "completed": 1, "children": 3},
        measure={"completed": in_status("COMPLETED"), "children": children_in_status("COMPLETED")},
        old=Old(8, old_life)),
]
