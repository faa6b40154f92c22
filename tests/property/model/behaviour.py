"""Behaviour profiles."""

import re
import statistics
from datetime import timedelta
from decimal import Decimal

from . import rules
from .domain import FIELD_SIZE, Changed, Effect, Refused, size_of

DAY = 86_400_000_000
RISK_OF_NEW, RISK_OF_OLD = 0.3, 0.7


def new_profile(number, **columns):
    return {"id": number, "version": 0, "event_count": 0, "fraud_risk_score": 0.0, "regularity": 0.5,
            "arrival_average": None, "anomaly_history": [], "arrivals": {}, "frequent_locations": {}, **columns}


def minute_of_day(arrival):
    """Of the day in the offset in which it was sent. An arrival: (moment, minutes east of UTC)."""
    moment, offset = arrival
    return (moment + offset * 60_000_000) % DAY // 60_000_000


def printed_time(arrival):
    moment, offset = arrival
    text = (rules.EPOCH + timedelta(microseconds=moment, minutes=offset)).isoformat(timespec="microseconds")[:-6]
    return text + ("Z" if not offset else f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}")


def parse_arrival(value):
    moment = rules.parse_time(value)
    return (moment, rules.offset_of(value)) if moment is not None else None


class UpdateProfile(Effect):
    creates = True

    def aggregate(self, data):
        return ("behaviour", data["user_id"])

    def operation(self, _data, before):
        return "HISTORY_APPEND" if before else "CREATION"

    def cross_check(self, data):
        return {"/anomaly"} if data.get("anomaly") is not None and size_of(data["anomaly"]) > 1024 else set()

    def run(self, domain, data, command):
        number = data["user_id"]
        if data.get("anomaly") is not None and (present := domain.get("behaviour_profile", number)):
            if size_of((present["anomaly_history"] + [data["anomaly"]])[-50:]) > FIELD_SIZE:
                raise Refused("too_large")
        profile = domain.get("behaviour_profile", number) or domain.put("behaviour_profile", number, new_profile(number))
        fraud = float(data["fraud_probability"])
        if fraud > 0:
            profile["fraud_risk_score"] = min(1.0, RISK_OF_NEW * fraud + RISK_OF_OLD * profile["fraud_risk_score"])
        arrival = parse_arrival(data["punch_in"]) if data.get("punch_in") is not None else None
        if arrival is not None:
            self.arrive(profile, data["attendance_uuid"].lower(), arrival)
        location = data.get("location")
        if location is not None:
            profile["frequent_locations"] = self.visit(profile["frequent_locations"], location)
        if data.get("anomaly") is not None:
            profile["anomaly_history"] = (profile["anomaly_history"] + [data["anomaly"]])[-50:]
        profile["event_count"] += 1
        self.add_event(domain, profile, data, arrival and arrival[0])
        domain.touch(profile)
        return Changed(metadata={"seq": profile["event_count"]})

    @staticmethod
    def arrive(profile, record, arrival):
        """The arrivals of the 30 days that end with the newest one; the newest hundred."""
        known = {key: parse_arrival(value) for key, value in profile["arrivals"].items()
                 if rules.uuid(key) and key == key.lower() and isinstance(value, str)}
        known = {key: value for key, value in known.items() if value is not None}
        known[record] = arrival
        newest = max(value[0] for value in known.values())
        known = {key: value for key, value in known.items() if value[0] >= newest - 30 * DAY}
        kept = sorted(known, key=lambda key: (-known[key][0], key))[:100]
        if len(kept) >= 3:
            spread = statistics.pstdev([minute_of_day(known[key]) for key in kept])
            profile["regularity"] = min(1.0, max(0.0, 1 - spread / 120))
        profile["arrivals"] = {key: printed_time(known[key]) for key in kept}
        minute = minute_of_day(arrival)
        mean = profile["arrival_average"]
        profile["arrival_average"] = float(minute) if mean is None else 0.9 * mean + 0.1 * minute

    @staticmethod
    def visit(locations, location):
        """The ten most frequent. Decided: of equals the one counted now, then by key."""
        key = ",".join(re.sub(r"^-(0\.0+)$", r"\1", f"{float(location[name]):.6f}")
                       for name in ("latitude", "longitude"))
        counts = {name: min(int(count), rules.INT32) for name, count in locations.items()
                  if rules.is_number(count) and count == int(count) and count >= 1 and count <= rules.INT64}
        counts[key] = min(counts.get(key, 0) + 1, rules.INT32)
        kept = sorted(counts, key=lambda name: (-counts[name], name != key, name.encode()))[:10]
        return {name: counts[name] for name in kept}

    @staticmethod
    def add_event(domain, profile, data, moment):
        location = data.get("location") or {}
        domain.put("behavioural_event", (profile["id"], profile["event_count"]), {
            "user_id": profile["id"], "seq": profile["event_count"], "recorded_at": domain.now, "punch_in": moment,
            "fraud_probability": float(data["fraud_probability"]), "face_verified": data["face"]["verified"],
            "face_confidence": float(data["face"]["confidence"]), "anomaly": data.get("anomaly"),
            "attendance_id": data["attendance_uuid"].lower(),
            **{name: float(Decimal(location[name])) if location else None for name in ("latitude", "longitude")}})


EFFECTS = {"behaviour.update_profile": UpdateProfile()}
