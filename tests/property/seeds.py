"""The rows that are there before a sequence's first command: aggregates in every status, plans, and what is looked up.
"""

from .model import rules
from .templates import ref
from .writer import (ASSIGNED, CATEGORY, CHILDREN, CLIENT, FENCES, JOBNEEDS, JOBS, MODELS, PERSONS, SHIFTS, TICKETS,
                     json_object)

RING = ((12.96, 77.58), (12.96, 77.60), (12.98, 77.60), (12.98, 77.58))
SEED_TIME = 1_793_000_000_000_000


def rows(writer):
    rng, scope, made = writer.rng, writer.scope, []

    def add(table, number, **columns):
        made.append((table, {"id": ref(number), **columns}))
    stamp = {"version": rng.randint(1, 3), "created_at": SEED_TIME, "modified_at": SEED_TIME, "modified_by": None}
    if scope in ("ticket", "mixed"):
        for number in range(*TICKETS):
            if writer.chance(0.7):
                add("ticket", number, status=rng.choice(rules.TICKET_STATUSES), priority="LOW", site_id=ref(211),
                    category=CATEGORY, client_id=CLIENT, **stamp)
        for level in (1, 2, 3):
            add("escalation_matrix", 240 + level, site_id=ref(211), category=CATEGORY, client_id=CLIENT, level=level,
                assigned_person_id=rng.choice((None, 31)), assigned_group_id=rng.choice((None, 41)))
    if scope in ("plan", "attendance", "mixed"):
        for number in range(*JOBS):
            add("job", number, identifier=rng.choice(rules.TOURS + ("TASK",)), client_id=rng.choice((None, CLIENT)),
                other_info=document(writer), **stamp)
    if scope in ("jobneed", "mixed"):
        add_jobneeds(writer, add, stamp)
    if scope in ("attendance", "mixed"):
        add_places(rng, add)
        add_assignments(rng, add, stamp)
    if scope in ("face", "mixed"):
        for number in range(*MODELS):
            add("face_model", number, verification_count=0, successful_verifications=0, last_used=None)
    return made


def document(writer):
    return {**json_object(writer), "log": [1, True]} if writer.chance(0.5) else {}


def add_jobneeds(writer, add, stamp):
    rng, child = writer.rng, CHILDREN[0]
    for number in range(*JOBNEEDS):
        if writer.chance(0.15):
            continue
        statuses = rules.JOBNEED_STATUSES + ("ASSIGNED", "INPROGRESS") * 3
        identifier, type_ = rng.choice(rules.TOURS + rules.TOURS + ("TASK",)), rng.choice(rules.TYPES)
        add("jobneed", number, status=rng.choice(statuses), identifier=identifier, type=type_,
            starts_at=SEED_TIME, other_info=document(writer), **stamp)
        for asset in range(rng.randint(0, 3)):
            add("jobneed", child, parent_id=ref(number), status=rng.choice(statuses), identifier=identifier,
                type=type_, starts_at=SEED_TIME, asset_id=11 + asset, question_set_id=1, **{**stamp, "version": 0})
            child += 1


def add_places(rng, add):
    for number in range(*SHIFTS):
        add("shift", number, site_id=ref(rng.choice((211, 212))),
            start_minute=rng.choice((0, 30, 480, 540, 1320, 1430)), end_minute=600,
            utc_offset_minutes=rng.choice((0, 0, 330)), enabled=rng.random() < 0.8)
    for number in range(*FENCES):
        circle = number % 2 == 0
        add("geofence", number, enabled=rng.random() < 0.8, center_latitude=12.9716 if circle else None,
            center_longitude=77.5946 if circle else None, radius_m=150.0 if circle else None)
        if not circle:
            for place, (latitude, longitude) in enumerate(RING):
                add("geofence_vertex", 900 + 10 * number + place, geofence_id=ref(number), seq=place + 1,
                    latitude=latitude, longitude=longitude)


def add_assignments(rng, add, stamp):
    for number in range(*ASSIGNED):
        span = rng.choice(((None, None), (None, None), (480, 1200), (1380, 600)))
        add("job", number, parent_id=ref(JOBS[0]), identifier="GEOFENCE", name=f"seed {number}",
            person_id=ref(rng.randrange(*PERSONS)), geofence_id=ref(rng.randrange(*FENCES)),
            starts_at=rng.choice((SEED_TIME, 1_793_900_000_000_000)), ends_at=rng.choice((None, 1_796_000_000_000_000)),
            from_minute=span[0], until_minute=span[1], utc_offset_minutes=rng.choice((0, 0, 330, -480)), **{**stamp, "version": 0})
