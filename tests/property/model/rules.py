"""The rules for the data of a command: DOMAIN.md's lists of members, `?` for optional, and the limits.

A member that is optional may also be null. In an edit null clears a nullable member; elsewhere it says the same as
absence.
"""

import re
import struct
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal

INT64 = 2 ** 63 - 1
INT32 = 2 ** 31 - 1
WORD, TEXT = 128, 16 * 1024
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

TICKET_STATUSES = ("NEW", "OPEN", "ONHOLD", "RESOLVED", "CLOSED", "CANCELLED")
PRIORITIES = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
SOURCES = ("SYSTEMGENERATED", "USERDEFINED")
JOBNEED_STATUSES = ("ASSIGNED", "INPROGRESS", "PARTIALLYCOMPLETED", "COMPLETED", "AUTOCLOSED", "MAINTENANCE", "STANDBY",
                    "WORKING")
IDENTIFIERS = ("TASK", "TICKET", "INTERNALTOUR", "EXTERNALTOUR", "PPM", "OTHER", "SITEREPORT", "INCIDENTREPORT",
               "ASSETLOG", "ASSETAUDIT", "ASSETMAINTENANCE", "POSTING_ORDER", "SITESURVEY")
TYPES = ("SCHEDULE", "ADHOC")
NOTICES = ("AUTOCLOSENOTIFY", "RAISETICKETNOTIFY")
RESULTS = ("SUCCESS", "FAILED", "FAILURE", "ERROR", "REJECTED")
KINDS = ("jobneed", "job", "ticket", "attendance", "face-user", "face-model", "behaviour")
TOURS = ("INTERNALTOUR", "EXTERNALTOUR")


# ---- kinds of values: each tells whether a value is one -----------------------------------------------------

def is_int(value):
    """However it is written: 5.0 is one."""
    if isinstance(value, Decimal):
        return value.is_finite() and value == value.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value):
    return is_int(value) or isinstance(value, Decimal)


def is_single(value):
    """A number that single precision can hold."""
    try:
        return is_number(value) and bool(struct.pack("<f", float(value)))  # native "f" overflows without a word
    except OverflowError:
        return False


def an_id(value):
    return is_int(value) and 1 <= value <= INT64


def integer(low, high):
    def holds(value):
        return is_int(value) and low <= value <= high
    holds.whole = True
    return holds


an_id.whole = True


def number(low, high):
    return lambda value: is_number(value) and low <= value <= high


def text(longest=TEXT, shortest=0):
    return lambda value: isinstance(value, str) and shortest <= len(value.encode()) <= longest


def word(words):
    return lambda value: isinstance(value, str) and value in words


def boolean(value):
    return isinstance(value, bool)


RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)


def parse_time(value):
    """Unix microseconds, or None."""
    match = RFC3339.fullmatch(value) if isinstance(value, str) else None
    if not match:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    east, minutes = match.group(8) or "+", int(match.group(10) or 0)
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=timezone.utc)
        offset = timedelta(hours=int(match.group(9) or 0), minutes=minutes)
        moment -= offset if east == "+" else -offset
    except (ValueError, OverflowError):
        return None
    if minutes > 59 or int(match.group(9) or 0) > 23 or second > 60:
        return None
    micros = int(((match.group(7) or "") + "000000")[:6])
    if second == 60:  # a leap second: the last of a day, which Unix time counts as the first of the next
        if (moment.hour, moment.minute) != (23, 59):
            return None
        micros = 1_000_000
    return (moment - EPOCH) // timedelta(microseconds=1) + micros


def offset_of(value):
    """Minutes east of UTC in which a time is written."""
    match = RFC3339.fullmatch(value)
    minutes = int(match.group(9) or 0) * 60 + int(match.group(10) or 0)
    return -minutes if match.group(8) == "-" else minutes


def time(value):
    return parse_time(value) is not None


UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


def uuid(value):
    return isinstance(value, str) and UUID.fullmatch(value) is not None


def aggregate(value):
    kind, _, name = value.partition("/") if isinstance(value, str) else ("", "", "")
    if kind == "attendance":
        return uuid(name)
    return kind in KINDS and re.fullmatch(r"[1-9]\d{0,18}", name, re.ASCII) is not None and int(name) <= INT64


def anything(_value):
    return True


# ---- containers ---------------------------------------------------------------------------------------------

@dataclass
class Member:
    kind: object
    required: bool = False
    nullable: bool = True


@dataclass
class Object:
    members: dict


@dataclass
class Array:
    """of: an Object, or a kind."""

    of: object
    shortest: int
    longest: int
    distinct: bool = False


def need(kind):
    return Member(kind, required=True, nullable=False)


def may(kind):
    return Member(kind)


def violations(kind, value, pointer=""):
    """The JSON pointers of everything that is wrong."""
    if isinstance(kind, Object):
        return object_violations(kind, value, pointer)
    if isinstance(kind, Array):
        return array_violations(kind, value, pointer)
    return set() if kind(value) else {pointer}


def pointer_step(name):
    """RFC 6901. A name from outside is cut to 64 bytes in what is said about it."""
    return "/" + name.encode()[:64].decode(errors="ignore").replace("~", "~0").replace("/", "~1")


def object_violations(kind, value, pointer):
    if not isinstance(value, dict):
        return {pointer}
    found = {pointer + pointer_step(name) for name in value if name not in kind.members}
    for name, member in kind.members.items():
        if name not in value:
            found |= {f"{pointer}/{name}"} if member.required else set()
        elif value[name] is not None or not member.nullable:
            found |= violations(member.kind, value[name], f"{pointer}/{name}")
    return found


def array_violations(kind, value, pointer):
    if not isinstance(value, list) or not kind.shortest <= len(value) <= kind.longest:
        return {pointer}
    found = set()
    for place, each in enumerate(value):
        found |= violations(kind.of, each, f"{pointer}/{place}")
    if not found and kind.distinct and len(set(value)) != len(value):
        found = {pointer}
    return found


# ---- the commands -------------------------------------------------------------------------------------------

def document(value):
    return isinstance(value, dict)


ASSIGNMENT = {"assigned_person_id": may(an_id), "assigned_group_id": may(an_id)}
CHECKPOINT_CHANGE = {"jobneed_id": need(an_id), "status": may(word(JOBNEED_STATUSES)), "seq": may(integer(0, INT32)),
                     "expires_at": may(time), "remarks": may(text())}
PLAN_CHILD = {"parent_id": need(an_id), "action": need(word(("create", "edit", "remove"))), "job_id": may(an_id)}
MINUTES = may(integer(0, INT32))

COMMANDS = {
    "ticket.create": {"ticket_id": may(an_id), "priority": need(word(PRIORITIES)), "category": may(text(WORD)),
                      "site_id": may(an_id), "client_id": may(an_id), "asset_id": may(an_id), "comments": may(text()),
                      "source": may(word(SOURCES)), **ASSIGNMENT},
    "ticket.transition": {"ticket_id": need(an_id), "status": need(word(TICKET_STATUSES)), "comments": may(text())},
    "ticket.assign": {"ticket_id": need(an_id), **ASSIGNMENT},
    "ticket.escalate": {"ticket_id": need(an_id), "level": may(integer(0, INT32)), **ASSIGNMENT},
    "ticket.append_history": {"ticket_id": need(an_id), "entry": need(Object({
        "people_id": may(an_id), "when": may(time), "who": may(text(WORD)), "action": need(text(WORD, 1)),
        "details": may(anything), "previous_state": may(anything)}))},
    "ticket.bulk_update": {"ticket_ids": need(Array(an_id, 1, 500, distinct=True)),
                           "status": may(word(TICKET_STATUSES)), "priority": may(word(PRIORITIES)),
                           "comments": may(text()), **ASSIGNMENT},
    "job.create": {"jobneed_id": may(an_id), "job_id": may(an_id), "parent_id": may(an_id),
                   "identifier": need(word(IDENTIFIERS)), "type": need(word(TYPES)), "starts_at": need(time),
                   "expires_at": may(time), "grace_minutes": MINUTES, "site_id": may(an_id), "client_id": may(an_id),
                   "checkpoints": may(Array(Object({"jobneed_id": may(an_id), "asset_id": need(an_id),
                                                    "question_set_id": need(an_id), "seq": need(integer(0, INT32))}),
                                            0, 500)),
                   "other_info": may(anything), **ASSIGNMENT},
    "job.transition": {"jobneed_id": need(an_id), "status": need(word(JOBNEED_STATUSES)), "remarks": may(text())},
    "job.assign": {"jobneed_id": need(an_id), **ASSIGNMENT},
    "job.autoclose": {"jobneed_id": need(an_id), "notify": may(word(NOTICES))},
    "job.autoclose_checkpoints": {"jobneed_id": need(an_id)},
    "job.update_checkpoint": {"parent_id": need(an_id), **CHECKPOINT_CHANGE},
    "job.bulk_update_checkpoints": {"parent_id": need(an_id),
                                    "checkpoints": need(Array(Object(CHECKPOINT_CHANGE), 1, 500))},
    "job.set_expiry": {"jobneed_id": need(an_id), "expires_at": need(time)},
    "job.mark_mail_sent": {"jobneed_id": need(an_id)},
    "job.sync_adhoc": {"jobneed_id": need(an_id), "performed_by": need(an_id), "started_at": need(time),
                       "ended_at": need(time), "status": need(word(JOBNEED_STATUSES)), "remarks": may(text()),
                       "alerts": may(boolean), "attachment_count": may(integer(0, INT32)), "modified_at": may(time),
                       "modified_by": may(text(WORD, 1))},
    "job.save_checkpoint": {**PLAN_CHILD, "asset_id": may(an_id), "question_set_id": may(an_id), "seq": MINUTES,
                            "grace_minutes": MINUTES, "plan_minutes": MINUTES, "expiry_minutes": MINUTES,
                            "name": may(text(WORD, 1))},
    "job.save_geofence_assignment": {**PLAN_CHILD, "name": may(text(WORD, 1)), "person_id": may(an_id),
                                     "geofence_id": may(an_id), "starts_at": may(time), "ends_at": may(time),
                                     "from_minute": may(integer(0, 1439)), "until_minute": may(integer(0, 1439)),
                                     "utc_offset_minutes": may(integer(-720, 840)),
                                     "asset_id": may(an_id), "question_set_id": may(an_id), "client_id": may(an_id)},
    "attendance.punch": {"attendance_uuid": need(uuid), "person_id": need(an_id), "site_id": may(an_id),
                         "direction": need(word(("in", "out"))), "at": need(time), "latitude": may(number(-90, 90)),
                         "longitude": may(number(-180, 180)), "shift_id": may(an_id)},
    "attendance.record_face_result": {"attendance_uuid": need(uuid), "verified": need(boolean),
                                      "distance": need(number(0, 1000)), "person_id": need(an_id)},
    "behaviour.update_profile": {
        "user_id": need(an_id), "attendance_uuid": need(uuid), "fraud_probability": need(number(0, 1)),
        "anomaly": may(anything), "punch_in": may(time),
        "location": may(Object({"latitude": need(number(-90, 90)), "longitude": need(number(-180, 180))})),
        "face": need(Object({"verified": need(boolean), "confidence": need(number(0, 1))}))},
    "json.merge": {"aggregate": need(aggregate), "field": need(text(WORD, 1)), "value": need(anything)},
    "json.replace": {"aggregate": need(aggregate), "field": need(text(WORD, 1)), "value": need(anything)},
    "json.append": {"aggregate": need(aggregate), "field": need(text(WORD, 1)), "key": need(text(WORD, 1)),
                    "value": need(anything), "max_length": may(integer(1, 10000))},
    "json.apply": {"aggregate": need(aggregate), "field": need(text(WORD, 1)), "operations": need(Array(Object({
        "op": need(word(("set", "increment", "append", "remove", "test"))), "path": need(text(1024)),
        "value": Member(anything, nullable=False), "by": may(is_number)}), 1, 100))},
    "face.record_verification": {"verification_id": need(an_id), "model_id": need(an_id), "embedding_id": may(an_id),
                                 "user_id": need(an_id), "result": need(word(RESULTS))},
    "face.add_embedding": {"user_id": need(an_id), "model_id": need(an_id), "embedding_id": may(an_id),
                           "vector": need(Array(is_single, 512, 512)), "confidence": need(number(0, 1)),
                           "validated": may(boolean), "is_primary": may(boolean)},
    "face.remove_embedding": {"user_id": need(an_id), "model_id": need(an_id), "embedding_id": need(an_id)},
}
BULK = ("ticket.bulk_update",)
COUNTERS = ("face.record_verification",)


def settled(kind, value):
    """The value with 5 for 5.0 where an integer is asked."""
    if isinstance(kind, Member):
        return settled(kind.kind, value)
    if isinstance(kind, Object) and isinstance(value, dict):
        return {name: settled(kind.members[name], each) for name, each in value.items()}
    if isinstance(kind, Array) and isinstance(value, list):
        return [settled(kind.of, each) for each in value]
    return int(value) if getattr(kind, "whole", False) and isinstance(value, Decimal) else value


def settled_data(command):
    return settled(Object(COMMANDS[command.type]), command.data)


def wrong_members(command):
    """The faults of the data by itself; two stages, as a range says nothing about a text."""
    return violations(Object(COMMANDS[command.type]), command.data)
