"""Jobs: the checkpoints and geofence assignments of a plan. A root is made by the planning side, never by a command."""

import copy

from . import rules
from .domain import Changed, Effect, Refused, Unchanged, differs, edited

TIMES = ("starts_at", "ends_at")


def new_job(number, **columns):
    return {"id": number, "version": 0, "parent_id": None, "asset_id": None, "question_set_id": None, "client_id": None,
            "geofence_id": None, "person_id": None, "starts_at": None, "ends_at": None, "seq": 0, "grace_minutes": 0,
            "plan_minutes": 0, "expiry_minutes": 0, "from_minute": None, "until_minute": None, "utc_offset_minutes": 0, "identifier": "TASK",
            "name": None, "other_info": {}, **columns}


class Save(Effect):
    """columns: what may be given; needed: what `create` needs; unique: what no two children of one root share;
    clearable: what null clears in an edit."""

    columns, needed, unique, clearable, saved = (), (), (), (), None
    geofence = False

    def aggregate(self, data):
        return ("job", data["parent_id"])

    def operation(self, data, _before):
        return "DELETION" if data["action"] == "remove" else self.saved

    def cross_check(self, data):
        if data["action"] != "create":
            return set() if data.get("job_id") is not None else {"/job_id"}
        return {f"/{name}" for name in self.needed if data.get(name) is None}

    def run(self, domain, data, command):
        root = domain.get("job", data["parent_id"])
        if root["parent_id"] is not None:
            raise Refused("invalid_data", "/parent_id")
        self.admit(root)
        return {"create": self.create, "edit": self.edit, "remove": self.remove}[data["action"]](domain, root, data)

    def admit(self, root):
        pass

    def check(self, row):
        pass

    def child(self, domain, root, data):
        row = domain.get("job", data["job_id"])
        if row is None or row["parent_id"] != root["id"] or (row["identifier"] == "GEOFENCE") != self.geofence:
            raise Refused("not_found")
        return row

    def changes(self, data):
        found = edited(data, self.columns, self.clearable if data["action"] == "edit" else ())
        return {name: rules.parse_time(value) if name in TIMES and value is not None else value
                for name, value in found.items()}

    def check_unique(self, domain, row):
        for other in domain.where("job", parent_id=row["parent_id"]):
            if other["id"] != row["id"] and (other["identifier"] == "GEOFENCE") == self.geofence and \
                    all(other[name] == row[name] for name in self.unique):
                raise Refused("already_exists")

    def create(self, domain, root, data):
        number = data.get("job_id")
        row = new_job(number, parent_id=root["id"], client_id=root["client_id"],
                      identifier="GEOFENCE" if self.geofence else root["identifier"])
        row.update(self.changes(data))
        self.check(row)
        self.check_unique(domain, row)
        if number is not None and domain.get("job", number) is not None:
            raise Refused("already_exists")
        if number is None:
            number = domain.draw("job", (domain.event.data.get("metadata") or {}).get("job_id"))
        row["id"] = number
        domain.put("job", number, domain.touch(row, root=False))
        domain.touch(root)
        return Changed(metadata={"job_id": number})

    def edit(self, domain, root, data):
        row = self.child(domain, root, data)
        changes = self.changes(data)
        after = {**copy.deepcopy(row), **changes}
        self.check(after)
        self.check_unique(domain, after)
        if not differs(row, changes):
            raise Unchanged()
        row.update(changes)
        domain.touch(row, root=False)
        domain.touch(root)
        return Changed(metadata={"job_id": row["id"]})

    def remove(self, domain, root, data):
        row = self.child(domain, root, data)
        del domain.table("job")[row["id"]]
        domain.touch(root)
        return Changed(metadata={"job_id": row["id"]})


class SaveCheckpoint(Save):
    columns = ("asset_id", "question_set_id", "seq", "grace_minutes", "plan_minutes", "expiry_minutes", "name")
    needed = unique = ("asset_id", "question_set_id")
    clearable, saved = ("name",), "CHECKPOINT_UPDATE"

    def admit(self, root):
        if root["identifier"] not in rules.TOURS:
            raise Refused("invalid_data", "/parent_id")


class SaveGeofenceAssignment(Save):
    columns = ("name", "person_id", "geofence_id", "starts_at", "ends_at", "from_minute", "until_minute", "asset_id",
               "client_id", "question_set_id", "utc_offset_minutes")
    clearable = ("ends_at", "from_minute", "until_minute", "asset_id", "client_id", "question_set_id")
    needed = ("name", "person_id", "geofence_id", "starts_at")
    unique = ("name", "asset_id", "question_set_id", "client_id")
    saved, geofence = "FIELD_UPDATE", True

    def cross_check(self, data):
        nobody = data["action"] != "remove" and data.get("person_id", ...) in (None, 1)
        return super().cross_check(data) | ({"/person_id"} if nobody else set())

    def check(self, row):
        if row["ends_at"] is not None and row["ends_at"] < row["starts_at"]:
            raise Refused("invalid_data", "/ends_at")
        if (row["from_minute"] is None) != (row["until_minute"] is None):
            raise Refused("invalid_data", "/from_minute" if row["from_minute"] is None else "/until_minute")


EFFECTS = {"job.save_checkpoint": SaveCheckpoint(), "job.save_geofence_assignment": SaveGeofenceAssignment()}
