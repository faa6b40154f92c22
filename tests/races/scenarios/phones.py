"""Commands of phones at once, and the races 8, 9 and 10 of DOMAIN.md, for which the old system had no test."""

import json

from harness.commands import command, create_job, job_transition

from .background import change_checkpoint, tour
from .description import RAISE_VERSION, VERSIONS, Old, Scenario, Step, attendance_uuid, document, in_status, keys_of, nothing
from .json_fields import merge

PART = "phones"
REMARKED = "SELECT count(*) FROM interlock.jobneed WHERE parent_id = %(b)s AND remarks IS NOT NULL"


# ---- 8. behaviour --------------------------------------------------------------------------------------------

def observe(b, n, **seen):
    return command("behaviour.update_profile", {
        "user_id": b, "attendance_uuid": attendance_uuid(b + n), "fraud_probability": 0.1,
        "face": {"verified": True, "confidence": 0.9}, **seen}, key=f"behaviour/{b}")


def old_profile(column, change):
    """Read a JSON field of the profile, change it in the program, write it back."""
    def compute(row, n):
        return {"document": json.dumps(change(row[0], n))}
    return Step(f"SELECT {column} FROM interlock.behaviour_profile WHERE id = %(b)s", compute,
                (f"UPDATE interlock.behaviour_profile SET {column} = %(document)s::jsonb WHERE id = %(b)s",))


OLD_OBSERVATION = [
    Step("SELECT event_count FROM interlock.behaviour_profile WHERE id = %(b)s", lambda row, _n: {"value": row[0] + 1},
         ("UPDATE interlock.behaviour_profile SET event_count = %(value)s WHERE id = %(b)s",)),
    old_profile("anomaly_history", lambda history, n: history + [{"n": n}]),
    old_profile("frequent_locations", lambda places, _n: {**places, "here": places.get("here", 0) + 1}),
]


# ---- 9. sync_adhoc -------------------------------------------------------------------------------------------

def sync(b):
    return command("job.sync_adhoc", {
        "jobneed_id": b, "performed_by": b, "started_at": "2026-11-24T09:00:00Z", "ended_at": "2026-11-24T09:30:00Z",
        "status": "COMPLETED", "remarks": "done", "attachment_count": 3})


# The old system saved whole rows: the phone's task came with everything else as it had been read.
OLD_SYNC = Step("SELECT other_info, assigned_person_id, version FROM interlock.jobneed WHERE id = %(b)s",
                lambda row, _n: {"document": json.dumps(row[0]), "person": row[1], "value": row[2] + 1},
                ("UPDATE interlock.jobneed SET status = 'COMPLETED', remarks = 'done', other_info = %(document)s::jsonb, "
                 "assigned_person_id = %(person)s, version = %(value)s WHERE id = %(b)s",))
OLD_ASSIGN = Step("SELECT status, version FROM interlock.jobneed WHERE id = %(b)s",
                  lambda row, _n: {"status": row[0], "value": row[1] + 1},
                  ("UPDATE interlock.jobneed SET assigned_person_id = 7, status = %(status)s, version = %(value)s "
                   "WHERE id = %(b)s",))


# ---- 10. set_expiry ------------------------------------------------------------------------------------------

def expire(b, n):
    return command("job.set_expiry", {"jobneed_id": b, "expires_at": f"2026-12-24T10:{n:02}:00Z"})


OLD_EXPIRY = Step("SELECT mail_sent, version FROM interlock.jobneed WHERE id = %(b)s",
                  lambda row, n: {"mail": row[0], "value": row[1] + 1},
                  ("UPDATE interlock.jobneed SET expires_at = '2026-12-24'::timestamptz + %(n)s * interval '1 minute', "
                   "mail_sent = %(mail)s, version = %(value)s WHERE id = %(b)s",))
OLD_MAIL = Step("SELECT version FROM interlock.jobneed WHERE id = %(b)s", lambda row, _n: {"value": row[0] + 1},
                ("UPDATE interlock.jobneed SET mail_sent = true, version = %(value)s WHERE id = %(b)s",))


def old_remark(child):
    return [Step("SELECT 1", nothing, (f"UPDATE interlock.jobneed SET remarks = 'x' WHERE id = %(b)s + {child}",)),
            RAISE_VERSION]


PHONES = [
    Scenario(
        "observations of one user", PART,
        setup=lambda b: [observe(b, 0)],
        storm=lambda b: [observe(b, 1 + n, anomaly={"n": n}, location={"latitude": 1, "longitude": 2},
                                 punch_in=f"2026-11-24T05:{n:02}:00+05:30") for n in range(20)],
        expected={"changed": 20, "observations": 21, "anomalies": 20, "visits": 20, "events": 21},
        measure={"observations": "SELECT event_count FROM interlock.behaviour_profile WHERE id = %(b)s",
                 "anomalies": "SELECT count(*) FROM interlock.behaviour_profile, jsonb_array_elements(anomaly_history) "
                              "WHERE id = %(b)s",
                 "visits": "SELECT coalesce(sum(value::int), 0) FROM interlock.behaviour_profile, "
                           "jsonb_each_text(frequent_locations) WHERE id = %(b)s"},
        audited={"events": "SELECT count(DISTINCT seq) FROM interlock.behavioural_event WHERE user_id = %(b)s"},
        old=Old(20, lambda n: OLD_OBSERVATION)),
    Scenario(
        "a phone's task and the office", PART,
        setup=lambda b: [create_job(b, identifier="TASK", type="ADHOC"), job_transition(b, "INPROGRESS")],
        storm=lambda b: [*[sync(b) for _ in range(3)], *[merge(b, {f"k{n}": n}) for n in range(5)],
                         command("job.assign", {"jobneed_id": b, "assigned_person_id": 7})],
        expected={"changed": 7, "completed": 1, "keys": 5, "assigned": 1, "versions": 9},
        measure={"completed": in_status("COMPLETED"), "keys": keys_of(), "versions": VERSIONS,
                 "assigned": "SELECT count(*) FROM interlock.jobneed WHERE id = %(b)s AND assigned_person_id = 7"},
        old=Old(9, lambda n: [OLD_SYNC] if n < 3 else [OLD_ASSIGN] if n == 8 else
                [document(lambda fields, number: fields.update({f"k{number}": number})), RAISE_VERSION])),
    Scenario(
        "a tour's expiry", PART,
        setup=lambda b: [tour(b, 4)],
        storm=lambda b: [*[expire(b, n) for n in range(5)],
                         *[change_checkpoint(b, child, remarks="x") for child in range(1, 5)],
                         command("job.mark_mail_sent", {"jobneed_id": b})],
        expected={"changed": 10, "mailed": 1, "remarked": 4, "versions": 11, "the last one told": 1},
        measure={"mailed": "SELECT count(*) FROM interlock.jobneed WHERE id = %(b)s AND mail_sent", "remarked": REMARKED,
                 "versions": VERSIONS},
        audited={"the last one told": "SELECT count(*) FROM interlock.jobneed WHERE id = %(b)s AND expires_at = ("
                 "SELECT (metadata::json #>> '{expires_at,new}')::timestamptz FROM interlock.audit_event "
                 "WHERE aggregate = 'jobneed/' || %(b)s AND command_type = 'job.set_expiry' AND outcome = 'applied' "
                 "ORDER BY version_to DESC LIMIT 1)"},
        old=Old(10, lambda n: [OLD_EXPIRY] if n < 5 else [OLD_MAIL] if n == 9 else old_remark(n - 4))),
]
