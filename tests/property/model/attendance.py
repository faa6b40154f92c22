"""Attendance records: punches and face results, geofences and shifts."""

import math
from decimal import Decimal

from . import rules
from .domain import FIELD_SIZE, Changed, Effect, Refused, Unchanged, differs, nobody, size_of

MINUTE, DAY = 60_000_000, 86_400_000_000
EARTH_M = 6371008.8


def new_record(key, **columns):
    return {"id": key, "version": 0, "person_id": None, "site_id": None, "shift_id": None, "punch_in": None,
            "punch_out": None, "start_latitude": None, "start_longitude": None, "end_latitude": None,
            "end_longitude": None, "face_in": False, "face_out": False, "extras": {}, **columns}


def real(value):
    return float(value) if value is not None else None


class Punch(Effect):
    creates = True

    def aggregate(self, data):
        return ("attendance", data["attendance_uuid"].lower())

    def operation(self, _data, before):
        return "FIELD_UPDATE" if before else "CREATION"

    def cross_check(self, data):
        found = {"/person_id"} if data["person_id"] == 1 else set()
        if (data.get("latitude") is None) != (data.get("longitude") is None):
            found.add("/latitude" if data.get("latitude") is None else "/longitude")
        return found

    def run(self, domain, data, command):
        key = data["attendance_uuid"].lower()
        record = domain.get("attendance", key)
        side = "in" if data["direction"] == "in" else "out"
        if record is None:
            record = domain.put("attendance", key, new_record(key, person_id=data["person_id"]))
        elif record["person_id"] != data["person_id"]:
            raise Refused("invalid_data", "/person_id")
        elif record[f"punch_{side}"] is not None:
            self.again(record, data, side)
        self.set(record, data, side)
        domain.touch(record)
        return Changed()

    @staticmethod
    def place(data):
        return {"latitude": real(data.get("latitude")), "longitude": real(data.get("longitude"))}

    def again(self, record, data, side):
        """Decided: the first punch stays. The same again is unchanged, another one is refused."""
        where = "start" if side == "in" else "end"
        told = {f"punch_{side}": rules.parse_time(data["at"])}
        if data.get("latitude") is not None:
            told.update({f"{where}_{name}": value for name, value in self.place(data).items()})
        if side == "in":
            visit = {"site_id": data.get("site_id"), "shift_id": nobody(data.get("shift_id"))}
            told.update({name: value for name, value in visit.items() if value is not None})
        if differs(record, told):
            raise Refused("already_exists")
        raise Unchanged()

    def set(self, record, data, side):
        moment = rules.parse_time(data["at"])
        other = record["punch_out" if side == "in" else "punch_in"]
        if other is not None and (moment > other if side == "in" else moment < other):
            raise Refused("invalid_data", "/at")
        where = "start" if side == "in" else "end"
        record[f"punch_{side}"] = moment
        record.update({f"{where}_{name}": value for name, value in self.place(data).items()})
        if record["site_id"] is None:
            record["site_id"] = data.get("site_id")
        if record["shift_id"] is None:
            record["shift_id"] = nobody(data.get("shift_id"))


# ---- where somebody is ---------------------------------------------------------------------------------------

def unit(latitude, longitude):
    latitude, longitude = math.radians(latitude), math.radians(longitude)
    return (math.cos(latitude) * math.cos(longitude), math.cos(latitude) * math.sin(longitude), math.sin(latitude))


def distance_m(a, b):
    """The great-circle distance, by the angle between two vectors."""
    left, right = unit(*a), unit(*b)
    cross = (left[1] * right[2] - left[2] * right[1], left[2] * right[0] - left[0] * right[2],
             left[0] * right[1] - left[1] * right[0])
    return EARTH_M * math.atan2(math.hypot(*cross), sum(x * y for x, y in zip(left, right)))


def in_polygon(ring, place):
    """By the angles under which its edges are seen: they sum up to a whole turn inside, to nothing outside."""
    total = 0.0
    for (y1, x1), (y2, x2) in zip(ring, ring[1:] + ring[:1]):
        angle = math.atan2(y2 - place[0], x2 - place[1]) - math.atan2(y1 - place[0], x1 - place[1])
        total += (angle + math.pi) % (2 * math.pi) - math.pi
    return abs(total) > math.pi


def in_force(assignment, moment):
    if moment < assignment["starts_at"] or (assignment["ends_at"] is not None and moment > assignment["ends_at"]):
        return False
    if assignment["from_minute"] is None:
        return True
    minute, first, last = (moment // MINUTE + assignment["utc_offset_minutes"]) % 1440, assignment["from_minute"], assignment["until_minute"]
    return first <= minute <= last if first <= last else minute >= first or minute <= last


def presence(domain, person, moment, place):
    """None: the person has no enabled geofence then. Else whether the place lies in one of them."""
    found = None
    for assignment in domain.where("job", person_id=person, identifier="GEOFENCE"):
        fence = domain.get("geofence", nobody(assignment["geofence_id"]))
        if fence is None or not fence["enabled"] or not in_force(assignment, moment):
            continue
        if fence["radius_m"] is not None:
            inside = distance_m((fence["center_latitude"], fence["center_longitude"]), place) <= fence["radius_m"]
        else:
            ring = [(row["latitude"], row["longitude"]) for row in sorted(
                domain.where("geofence_vertex", geofence_id=fence["id"]), key=lambda row: row["seq"])]
            inside = len(ring) > 2 and in_polygon(ring, place)
        found = bool(found) or inside
    return found


def nearest_shift(domain, site, moment):
    """The site's shift whose start is closest, on whichever day; of equals the lower id."""
    def away(shift):
        start = (shift["start_minute"] - shift["utc_offset_minutes"]) * MINUTE
        gap = (moment - start) % DAY
        return min(gap, DAY - gap)
    shifts = [shift for shift in domain.where("shift", site_id=site, enabled=True)] if site is not None else []
    return min(shifts, key=lambda shift: (away(shift), shift["id"]))["id"] if shifts else None


class RecordFaceResult(Effect):
    audits = "FLAG_SET"

    def aggregate(self, data):
        return ("attendance", data["attendance_uuid"].lower())

    def cross_check(self, data):
        return {"/person_id"} if data["person_id"] == 1 else set()

    def run(self, domain, data, command):
        record = domain.get("attendance", data["attendance_uuid"].lower())
        if record["person_id"] != data["person_id"]:
            raise Refused("invalid_data", "/person_id")
        extras, changes = dict(record["extras"]), {}
        side = next((side for side in ("in", "out") if record[f"punch_{side}"] is not None
                     and extras.get(f"distance_{side}") is None), None)
        if side is not None:
            extras[f"verified_{side}"] = changes[f"face_{side}"] = data["verified"]
            extras[f"distance_{side}"] = Decimal(data["distance"])
        self.look_where(domain, record, extras)
        if record["shift_id"] is None and record["punch_in"] is not None:
            changes["shift_id"] = nearest_shift(domain, record["site_id"], record["punch_in"])
        changes["extras"] = extras
        # Decided: a result that finds a side is written, though it says what is there (after json.* took it away).
        if side is None and not differs(record, changes):
            raise Unchanged(side=None)
        if size_of(extras) > FIELD_SIZE:
            raise Refused("too_large")
        record.update(changes)
        domain.touch(record)
        return Changed(metadata={"side": side})

    @staticmethod
    def look_where(domain, record, extras):
        for where, punch in (("start", "punch_in"), ("end", "punch_out")):
            if record[punch] is None or record[f"{where}_latitude"] is None:
                continue
            found = presence(domain, record["person_id"], record[punch],
                             (record[f"{where}_latitude"], record[f"{where}_longitude"]))
            if found is not None:
                extras[f"{where}_in_geofence"] = found


EFFECTS = {"attendance.punch": Punch(), "attendance.record_face_result": RecordFaceResult()}
