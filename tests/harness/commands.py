"""Commands as other programs send them, and the keys they go under."""

import functools
import json
import struct
import uuid
from dataclasses import dataclass, field
from typing import Optional

SOURCE = "/system-tests"


@dataclass
class Message:
    """A message for the topic. partition None: by the key."""

    value: Optional[bytes]
    key: Optional[str]
    headers: list = field(default_factory=list)
    partition: Optional[int] = None
    identity: Optional[tuple] = None

    def at(self, partition):
        return Message(self.value, self.key, list(self.headers), partition, self.identity)

    def keyed(self, key):
        return Message(self.value, key, list(self.headers), self.partition, self.identity)


def aggregate_of(type_, data):
    """The aggregate that well-formed data names; None where the id is yet to be drawn."""
    if type_ == "ticket.bulk_update":
        return f"ticket/{min(data['ticket_ids'])}"
    if type_.startswith("ticket."):
        return f"ticket/{data['ticket_id']}" if "ticket_id" in data else None
    if type_.startswith("json."):
        return data["aggregate"]
    if type_ == "face.record_verification":
        return f"face-model/{data['model_id']}"
    if type_.startswith("face."):
        return f"face-user/{data['user_id']}"
    if type_.startswith("job.save_"):
        return f"job/{data['parent_id']}"
    if type_.startswith("attendance."):
        return f"attendance/{data['attendance_uuid']}"
    if type_.startswith("behaviour."):
        return f"behaviour/{data['user_id']}"
    if data.get("parent_id") is not None:
        return f"jobneed/{data['parent_id']}"
    return f"jobneed/{data['jobneed_id']}" if "jobneed_id" in data else None


def event(type_, data, **attributes):
    """A CloudEvent as a dict. An attribute of None is left out."""
    body = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": SOURCE, "type": type_,
            "datacontenttype": "application/json", "data": data}
    body.update(attributes)
    return {name: value for name, value in body.items() if value is not None}


def structured(body, key, partition=None):
    return Message(json.dumps(body).encode(), key, [("content-type", b"application/cloudevents+json")], partition,
                   (body.get("source"), body.get("id")))


def command(type_, data, key=..., partition=None, **attributes):
    """A command in structured mode, under its aggregate's key unless told otherwise."""
    if key is ...:
        key = aggregate_of(type_, data)
    body = event(type_, data, **attributes)
    return structured(body, key, partition)


def binary(type_, data, **attributes):
    body = event(type_, data, **attributes)
    payload = body.pop("data")
    content = body.pop("datacontenttype")
    headers = [("content-type", content.encode())]
    headers += [(f"ce_{name}", str(value).encode()) for name, value in body.items()]
    return Message(json.dumps(payload).encode(), aggregate_of(type_, data), headers, None, (body["source"], body["id"]))


@functools.lru_cache(maxsize=1 << 17)
def murmur2(key):
    """Of Kafka's producers in Java (org.apache.kafka.common.utils.Utils), for a text."""
    data, whole = key.encode(), 0xFFFFFFFF
    mix, end = 0x5BD1E995, len(data) & ~3
    digest = 0x9747B28C ^ len(data)
    for (word,) in struct.iter_unpack("<I", data[:end]):
        word = word * mix & whole
        digest = digest * mix & whole ^ (word ^ word >> 24) * mix & whole
    if len(data) > end:
        digest = (digest ^ int.from_bytes(data[end:], "little")) * mix & whole
    digest = (digest ^ digest >> 13) * mix & whole
    return digest ^ digest >> 15


def partition_of(key, partitions):
    """As a producer with partitioner=murmur2_random puts it; without a key, partition 0."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions if key else 0


# ---- the commands that many tests send -----------------------------------------------------------

def create_ticket(number, **data):
    return command("ticket.create", {"ticket_id": number, "priority": "LOW", **data})


def escalate(number, **attributes):
    return command("ticket.escalate", {"ticket_id": number}, **attributes)


def append(number, details, **attributes):
    entry = {"people_id": 7, "when": "2026-11-24T09:00:00Z", "who": "tester", "action": "note", "details": details,
             "previous_state": {}}
    return command("ticket.append_history", {"ticket_id": number, "entry": entry}, **attributes)


def transition(number, status, **attributes):
    return command("ticket.transition", {"ticket_id": number, "status": status}, **attributes)


def create_job(number, checkpoints=0, first_checkpoint=None, identifier="INTERNALTOUR", **data):
    first = first_checkpoint if first_checkpoint is not None else number + 1
    body = {"jobneed_id": number, "identifier": identifier, "type": "SCHEDULE", "starts_at": "2026-11-24T08:00:00Z",
            "checkpoints": [{"jobneed_id": first + i, "asset_id": 10 + i, "question_set_id": 1, "seq": i + 1}
                            for i in range(checkpoints)], **data}
    if not checkpoints:
        del body["checkpoints"]
    return command("job.create", body)


def job_transition(number, status, **attributes):
    return command("job.transition", {"jobneed_id": number, "status": status}, **attributes)
