"""The rows of many sequences: put there before the first command, and read when all are answered."""

import json
from datetime import datetime, timedelta
from decimal import Decimal

import psycopg2
import psycopg2.extras

from .model.jobneeds import new_jobneed
from .model.plans import new_job
from .model.rules import EPOCH
from .model.tickets import new_ticket
from .templates import fill, plain

NEW = {"ticket": new_ticket, "jobneed": new_jobneed, "job": new_job}
TIMES = ("created_at", "modified_at", "starts_at", "expires_at", "started_at", "ended_at", "occurred_at", "punch_in",
         "punch_out", "recorded_at", "verified_at", "last_used", "ends_at")
DOCUMENTS = ("other_info", "extras", "details", "previous_state", "anomaly", "anomaly_history", "arrivals",
             "frequent_locations")
NO_ID = ("escalation_matrix", "geofence_vertex")

# The rows of ids from low to high; drawn ids are named one by one.
RANGES = {
    "ticket": "id BETWEEN %(low)s AND %(high)s OR jobneed_id BETWEEN %(low)s AND %(high)s OR id = ANY (%(ticket)s)",
    "ticket_history": "ticket_id BETWEEN %(low)s AND %(high)s OR ticket_id = ANY (%(ticket)s)",
    "jobneed": "id BETWEEN %(low)s AND %(high)s OR parent_id BETWEEN %(low)s AND %(high)s OR id = ANY (%(jobneed)s) OR "
               "parent_id = ANY (%(jobneed)s)",
    "job": "id BETWEEN %(low)s AND %(high)s OR parent_id BETWEEN %(low)s AND %(high)s",
    "attendance": "id BETWEEN %(low_uuid)s::uuid AND %(high_uuid)s::uuid",
    "behaviour_profile": "id BETWEEN %(low)s AND %(high)s",
    "behavioural_event": "user_id BETWEEN %(low)s AND %(high)s",
    "face_user": "id BETWEEN %(low)s AND %(high)s",
    "face_embedding": "user_id BETWEEN %(low)s AND %(high)s OR id BETWEEN %(low)s AND %(high)s",
    "face_embedding_counter": "id BETWEEN %(low)s AND %(high)s",
    "face_model": "id BETWEEN %(low)s AND %(high)s",
    "face_verification_log": "id BETWEEN %(low)s AND %(high)s",
}
KEYS = {"ticket_history": ("ticket_id", "seq"), "behavioural_event": ("user_id", "seq")}
SELECT = {"face_embedding": "id, user_id, model_id, created_at, modified_at, confidence, is_primary, validated, "
                            "modified_by, vector[1]::float8 AS first, vector[512]::float8 AS last, "
                            "cardinality(vector) AS length",
          "face_model": "id, verification_count, successful_verifications, last_used"}


def micros(moment):
    return (moment - EPOCH) // timedelta(microseconds=1) if isinstance(moment, datetime) else moment


def seed_row(table, row):
    """A template's row with all columns that the model knows."""
    number = row["id"]
    columns = {name: float(value) if isinstance(value, Decimal) else value
               for name, value in row.items() if name != "id"}
    return NEW[table](number, **columns) if table in NEW else {"id": number, **columns}


def to_column(name, value):
    if name in DOCUMENTS:
        return fill(plain(value), 0)
    return EPOCH + timedelta(microseconds=value) if name in TIMES and value is not None else value


def insert(url, rows):
    """rows: (table, row). Jobneeds come parents first."""
    by_table = {}
    for table, row in rows:
        row = {name: value for name, value in row.items() if name != "number" and not (name == "id" and table in NO_ID)}
        by_table.setdefault(table, []).append(row)
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        for table in sorted(by_table, key=lambda name: name == "geofence_vertex"):
            names = list(by_table[table][0])
            for row in by_table[table]:
                names += [name for name in row if name not in names]
            values = [[to_column(name, row.get(name)) for name in names]
                      for row in by_table[table]]
            psycopg2.extras.execute_values(
                cursor, f"INSERT INTO interlock.{table} ({', '.join(names)}) VALUES %s", values, page_size=1000)
    connection.close()


def adapt(row):
    made = {}
    for name, value in row.items():
        if name in DOCUMENTS:
            value = json.loads(value, parse_float=Decimal) if value is not None else None
        made[name] = micros(value)
    return made


def fetch(url, low, high, uuids, drawn):
    """{(table, key): row} of everything that belongs to the ids."""
    parameters = {"low": low, "high": high, "low_uuid": uuids[0], "high_uuid": uuids[1],
                  "ticket": drawn.get("ticket", []), "jobneed": drawn.get("jobneed", [])}
    found = {}
    connection = psycopg2.connect(url, cursor_factory=psycopg2.extras.RealDictCursor)
    psycopg2.extras.register_default_json(connection, loads=lambda text: text)
    psycopg2.extras.register_default_jsonb(connection, loads=lambda text: text)
    with connection, connection.cursor() as cursor:
        for table, condition in RANGES.items():
            cursor.execute(f"SELECT {SELECT.get(table, '*')} FROM interlock.{table} WHERE {condition}", parameters)
            for row in cursor.fetchall():
                row = adapt(row)
                key = tuple(row[name] for name in KEYS[table]) if table in KEYS else row["id"]
                found[(table, key)] = row
    connection.close()
    return found
