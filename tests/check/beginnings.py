"""The aggregates before the first command, where nobody took a snapshot then.

Known is what the run itself made, and what no command of it changed. An aggregate that was there before and was changed
since is open: its beginning is not to be had, and neither it nor what depends on it is judged.
"""

from collections import defaultdict

from property.compare import COMPARED

CREATORS = {"ticket": ("ticket.create", "job.autoclose"), "jobneed": ("job.create",),
            "attendance": ("attendance.punch",), "behaviour": ("behaviour.update_profile",),
            "face-user": ("face.add_embedding",), "job": ()}
CHILDREN = {"face-user": ("face_embedding", "embedding_id", "face.add_embedding"),
            "job": ("job", "job_id", "job.save_")}
LOOKED_UP = ("geofence", "geofence_vertex", "shift", "escalation_matrix", "face_model")
KEYS = {"ticket_history": ("ticket_id", "seq"), "behavioural_event": ("user_id", "seq"),
        "geofence_vertex": ("geofence_id", "seq"),
        "escalation_matrix": ("site_id", "category", "client_id", "level")}
COUNTED = ("face_model", "face_embedding_counter", "face_verification_log")


def key_of(table, row):
    names = KEYS.get(table)
    return tuple(row[name] for name in names) if names else row["id"]


def owner_of(table, row):
    """The aggregate whose commands write the row; None: counters, which have no version, and what is looked up."""
    if table in ("ticket", "attendance"):
        return f"{table}/{row['id']}"
    if table in ("jobneed", "job"):
        return f"{table}/{row['parent_id'] if row['parent_id'] is not None else row['id']}"
    if table == "ticket_history":
        return f"ticket/{row['ticket_id']}"
    if table in ("face_user", "face_embedding"):
        return f"face-user/{row['id'] if table == 'face_user' else row['user_id']}"
    if table in ("behaviour_profile", "behavioural_event"):
        return f"behaviour/{row['id'] if table == 'behaviour_profile' else row['user_id']}"
    return None


class Beginnings:
    """rows: (table, row); open: aggregates that were something else before."""

    def __init__(self, evidence, about_event):
        self.evidence, self.about_event = evidence, about_event
        self.first, self.steps = {}, defaultdict(list)
        for event in evidence.events:
            for aggregate, start, end in event.changes():
                self.steps[aggregate].append((start or 0, end, event))
        for aggregate, steps in self.steps.items():
            steps.sort(key=lambda step: step[:2])
            self.first[aggregate] = steps[0]
        self.children = {owner: row for owner, row in self.rows_by_owner().items() if owner.split("/")[0] in CHILDREN}
        self.open = {aggregate for aggregate in self.first if not self.is_known(aggregate)}

    def rows_by_owner(self):
        found = defaultdict(list)
        for table in ("job", "face_embedding", "face_user"):
            for row in self.evidence.tables.get(table, []):
                found[owner_of(table, row)].append((table, row))
        return found

    def is_known(self, aggregate):
        kind = aggregate.split("/")[0]
        if kind == "job":
            return self.is_plan_known(aggregate)
        start, _, event = self.first[aggregate]
        if start != 0 or not event.data["command"]["type"] in CREATORS.get(kind, ()):
            return False
        return kind != "face-user" or self.is_user_known(aggregate, event)

    def is_user_known(self, aggregate, event):
        """The row of a user is made by the first command on it; it may have been there, and embeddings of it."""
        rows = self.children.get(aggregate, [])
        made = [row for table, row in rows if table == "face_user"]
        made_then = not made or made[0].get("created_at") == self.about_event(event)
        return made_then and self.children_are_known(aggregate)

    def is_plan_known(self, aggregate):
        """A root is never made by a command, and only JSON commands change more of it than its version."""
        types = {event.data["command"]["type"] for _, _, event in self.steps[aggregate]}
        root = any(table == "job" and row["parent_id"] is None for table, row in self.children.get(aggregate, []))
        return root and not any(each.startswith("json.") for each in types) and self.children_are_known(aggregate, True)

    def children_are_known(self, aggregate, may_be_older=False):
        """Nothing was done to a child that was there before; may_be_older: such a child may be there untouched."""
        table, name, creator = CHILDREN[aggregate.split("/")[0]]
        made = set()
        for _, _, event in self.steps[aggregate]:
            metadata = event.data.get("metadata") or {}
            number = metadata.get(name)
            # The event of a new child does not repeat it; those of an edit and a removal have its old and new values.
            creates = event.data["command"]["type"].startswith(creator) and \
                not any(isinstance(each, dict) and "old" in each for each in metadata.values())
            if creates:
                made.add(number)
            elif number is not None and number not in made:
                return False
        older = [row for owned, row in self.children.get(aggregate, [])
                 if owned == table and row["id"] not in made and row.get("parent_id", 0) is not None]
        return may_be_older or not older

    def made_in_run(self, aggregate):
        """Ids of children that commands made."""
        _, name, _ = CHILDREN[aggregate.split("/")[0]]
        return {(event.data.get("metadata") or {}).get(name) for _, _, event in self.steps[aggregate]}

    def rows(self):
        for table in LOOKED_UP:
            for row in self.evidence.tables.get(table, []):
                yield table, uncounted(row) if table == "face_model" else row
        for table in COMPARED:
            for row in self.evidence.tables.get(table, []) if table not in COUNTED else []:
                row = self.begun(table, row, owner_of(table, row))
                if row is not None:
                    yield table, row

    def begun(self, table, row, owner):
        """The row as it was, None: it was not there."""
        if owner not in self.first or owner in self.open:
            return row
        if owner.startswith("job/"):
            if row["parent_id"] is None:
                return {**row, "version": self.first[owner][0]}
            return row if row["id"] not in self.made_in_run(owner) else None
        return None


def uncounted(row):
    return {**row, "verification_count": 0, "successful_verifications": 0, "last_used": None}


def begin(evidence, about_event):
    """(rows, open aggregates). A snapshot knows them all."""
    if evidence.before is not None:
        return [(table, row) for table, rows in evidence.before.items() for row in rows], set()
    beginnings = Beginnings(evidence, about_event)
    return list(beginnings.rows()), beginnings.open
