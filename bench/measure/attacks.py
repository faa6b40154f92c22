"""The six attacks of the domain as a stream of commands, many rounds of them, and what must be there afterwards.

Every round has rows of its own. The commands go on the topic without a key, so that those of one aggregate lie on all
partitions and meet in two processes.
"""

import json
import random

ROUND_IDS = 1000  # ids of one half of a round
FIRST_ID = 10_000_000
JOB, TOUR, CHECKPOINT, NOTES, DOCUMENT, TICKET = 0, 1, 2, 200, 201, 202  # places within them
AUTOCLOSES, CHECKPOINTS, CHECKPOINT_TIMES, TICKETS, TIMES, APPENDS, CHANGES = 50, 100, 10, 10, 10, 200, 100
HALF = AUTOCLOSES + CHECKPOINT_TIMES + TICKETS * TIMES + APPENDS + CHANGES


def _half(base):
    """The five attacks, one after another, as (type, data)."""
    commands = [("job.autoclose", {"jobneed_id": base + JOB, "notify": "RAISETICKETNOTIFY"})] * AUTOCLOSES
    commands += [("job.autoclose_checkpoints", {"jobneed_id": base + TOUR})] * CHECKPOINT_TIMES
    commands += [("ticket.escalate", {"ticket_id": base + TICKET + n % TICKETS}) for n in range(TICKETS * TIMES)]
    commands += [("ticket.append_history", {"ticket_id": base + NOTES, "entry": {"action": "NOTE", "details": f"note {n}"}})
                 for n in range(APPENDS)]
    commands += [("json.merge", {"aggregate": f"jobneed/{base + DOCUMENT}", "field": "other_info",
                                 "value": {f"key {n}": n}}) for n in range(CHANGES)]
    return commands


def _subject(type_, data):
    if type_.startswith("json."):
        return data["aggregate"]
    return f"ticket/{data['ticket_id']}" if "ticket_id" in data else f"jobneed/{data['jobneed_id']}"


def rows_sql(rounds):
    """The rows that are attacked; bases are FIRST_ID + 0, 1, 2, ... ROUND_IDS, two of them a round."""
    base = f"generate_series({FIRST_ID}, {FIRST_ID + ROUND_IDS * (2 * rounds - 1)}, {ROUND_IDS}) base"
    job = "INSERT INTO interlock.jobneed (id, parent_id, asset_id, question_set_id, starts_at, identifier, type, status)"
    return [
        f"{job} SELECT base + place, NULL, NULL, NULL, now(), 'INTERNALTOUR', 'SCHEDULE', 'ASSIGNED' FROM {base},"
        f" unnest(ARRAY[{JOB}, {TOUR}, {DOCUMENT}]) place",
        f"{job} SELECT base + {CHECKPOINT} + n, base + {TOUR}, n, 1, now(), 'INTERNALTOUR', 'SCHEDULE', 'ASSIGNED' FROM {base},"
        f" generate_series(0, {CHECKPOINTS - 1}) n",
        f"INSERT INTO interlock.ticket (id, status) SELECT base + {NOTES} + n, 'OPEN' FROM {base},"
        f" generate_series(0, {TICKET - NOTES + TICKETS - 1}) n WHERE n <> {DOCUMENT - NOTES}",
    ]


def write(file, rounds):
    """The stream: each round the five, one after another, then all of it at once. Returns how many commands."""
    shuffler = random.Random(1)
    number = 0
    for round_ in range(rounds):
        first = FIRST_ID + ROUND_IDS * 2 * round_
        at_once = _half(first + ROUND_IDS)
        shuffler.shuffle(at_once)
        for type_, data in _half(first) + at_once:
            file.write(json.dumps({"specversion": "1.0", "id": f"attack-{number}", "source": "/bench", "type": type_,
                                   "subject": _subject(type_, data), "actor": "user/9", "data": data}) + "\n")
            number += 1
    file.flush()
    return number


# The effects of each attack that are missing, and those that are there too often. Zero and zero, or the protection failed.
JUDGEMENT = {
    "autocloses of one job": (
        AUTOCLOSES, f"SELECT abs(2 * :rounds - count(*) FILTER (WHERE j.status = 'AUTOCLOSED'))"
        " + abs(2 * :rounds - count(t.id)) + (SELECT abs(2 * :rounds - count(*)) FROM interlock.audit_event"
        " WHERE command_type = 'job.autoclose' AND outcome = 'applied')"
        f" FROM interlock.jobneed j LEFT JOIN interlock.ticket t ON t.jobneed_id = j.id WHERE j.id % {ROUND_IDS} = {JOB}"),
    "autocloses of 100 checkpoints": (
        CHECKPOINT_TIMES, "SELECT count(*) FILTER (WHERE status <> 'AUTOCLOSED') + (SELECT abs(2 * :rounds - count(*))"
        " FROM interlock.audit_event WHERE command_type = 'job.autoclose_checkpoints' AND outcome = 'applied')"
        " FROM interlock.jobneed WHERE parent_id IS NOT NULL"),
    "escalations of 10 tickets": (
        TICKETS * TIMES, f"SELECT sum(abs({TIMES} - level) + abs({TIMES} - history_count)) FROM interlock.ticket"
        f" WHERE id >= {FIRST_ID} AND id % {ROUND_IDS} BETWEEN {TICKET} AND {TICKET + TICKETS - 1}"),
    "appends to one history": (
        APPENDS, f"SELECT sum(abs({APPENDS} - found)) FROM (SELECT t.id, count(DISTINCT h.details::text) AS found FROM"
        f" interlock.ticket t LEFT JOIN interlock.ticket_history h ON h.ticket_id = t.id WHERE t.id >= {FIRST_ID} AND"
        f" t.id % {ROUND_IDS} = {NOTES} GROUP BY t.id) counted"),
    "JSON changes of one row": (
        CHANGES, f"SELECT sum(abs({CHANGES} - (SELECT count(*) FROM jsonb_object_keys(other_info))))"
        f" FROM interlock.jobneed WHERE id % {ROUND_IDS} = {DOCUMENT}"),
}
