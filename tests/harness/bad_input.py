"""Messages that are no command, data that a command is refused for, and good data of every type beside them."""

import json

from .commands import event


def whole(**changes):
    body = event("ticket.escalate", {"ticket_id": 1})
    body.update(changes)
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def nested(depth):
    return json.loads("[" * depth + "]" * depth)


IDENTITY = b'"specversion":"1.0","id":"bad-1","source":"/s","type":"ticket.escalate"'

DEAD = {
    "a tombstone": None,
    "nothing": b"",
    "text": b"hello",
    "half a document": b'{"specversion":"1.0","id":"x"',
    "something after the document": whole() + b"}",
    "an array": b"[" + whole() + b"]",
    "a number": b"42",
    "no CloudEvent": b'{"ticket_id":1}',
    "duplicate attributes": b'{' + IDENTITY + b',"id":"bad-2","data":{"ticket_id":1}}',
    "duplicate keys in the data": b'{' + IDENTITY + b',"data":{"ticket_id":1,"ticket_id":2}}',
    "duplicate keys by an escape": b'{' + IDENTITY + b',"data":{"ticket_id":1,"ticket\\u005fid":2}}',
    "a NUL by an escape": b'{' + IDENTITY + b',"data":{"ticket_id":1,"comments":"a\\u0000b"}}',
    "a raw NUL": b'{' + IDENTITY + b',"data":{"ticket_id":1,"comments":"a\0b"}}',
    "bad UTF-8": b'{' + IDENTITY + b',"data":{"ticket_id":1,"comments":"\xff\xfe"}}',
    "overlong UTF-8": b'{' + IDENTITY + b',"data":{"ticket_id":1,"comments":"\xc0\x80"}}',
    "a lone surrogate": b'{' + IDENTITY + b',"data":{"ticket_id":1,"comments":"\\ud800"}}',
    "a bomb of depth": b'{' + IDENTITY + b',"data":' + b"[" * 20000 + b"]" * 20000 + b"}",
    "depth 40": whole(data={"ticket_id": 1, "entry": nested(40)}),
    "a bomb of width": b'{' + IDENTITY + b',"data":[' + b"{}," * 25000 + b"{}]}",
    "64 KiB and more": whole(data={"ticket_id": 1, "comments": "x" * 65536}),
    "half a MiB": whole(data={"ticket_id": 1, "comments": "x" * (512 * 1024)}),
    "no id": whole(id=None),
    "no source": whole(source=None),
    "no type": whole(type=None),
    "an empty id": whole(id=""),
    "an empty source": whole(source=""),
    "an id that is a number": whole(id=7),
    "a source that is null": b'{"specversion":"1.0","id":"bad-1","source":null,"type":"ticket.escalate","data":{}}',
    "a type that is an object": whole(type={"a": 1}),
    "an id of 129 bytes": whole(id="i" * 129),
    "a source of 129 bytes": whole(source="/" + "s" * 128),
    "an id of 65 two-byte letters": whole(id="é" * 65),
}


def data_of(type_, **changes):
    good = {
        "ticket.create": {"ticket_id": 1, "priority": "LOW"},
        "ticket.transition": {"ticket_id": 1, "status": "OPEN"},
        "ticket.assign": {"ticket_id": 1, "assigned_person_id": 7},
        "ticket.escalate": {"ticket_id": 1},
        "ticket.append_history": {"ticket_id": 1, "entry": {"people_id": 7, "when": "2026-11-24T09:00:00Z", "who": "x",
                                                            "action": "note", "details": {}, "previous_state": {}}},
        "ticket.bulk_update": {"ticket_ids": [1], "priority": "LOW"},
        "job.create": {"jobneed_id": 1, "identifier": "TASK", "type": "ADHOC", "starts_at": "2026-11-24T09:00:00Z"},
        "job.transition": {"jobneed_id": 1, "status": "INPROGRESS"},
        "job.autoclose": {"jobneed_id": 1},
        "job.autoclose_checkpoints": {"jobneed_id": 1},
        "job.update_checkpoint": {"jobneed_id": 2, "parent_id": 1, "seq": 1},
        "json.merge": {"aggregate": "jobneed/1", "field": "other_info", "value": {"a": 1}},
        "json.append": {"aggregate": "jobneed/1", "field": "other_info", "key": "k", "value": 1},
        "face.record_verification": {"verification_id": 1, "model_id": 1, "user_id": 1, "result": "SUCCESS"},
        "face.add_embedding": {"user_id": 1, "model_id": 1, "vector": [0.5] * 512, "confidence": 0.9},
        "face.remove_embedding": {"user_id": 1, "model_id": 1, "embedding_id": 1},
    }[type_]
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


# (type, what is changed in good data): ... leaves the member out.
INVALID = [
    ("ticket.create", {"priority": ...}), ("ticket.create", {"priority": "URGENT"}), ("ticket.create", {"priority": 3}),
    ("ticket.create", {"priority": "low"}), ("ticket.create", {"ticket_id": 0}), ("ticket.create", {"ticket_id": -5}),
    ("ticket.create", {"ticket_id": "1"}), ("ticket.create", {"ticket_id": 1.5}), ("ticket.create", {"ticket_id": 1e30}),
    ("ticket.create", {"ticket_id": True}), ("ticket.create", {"source": "ROBOT"}), ("ticket.create", {"surprise": 1}),
    ("ticket.create", {"comments": 7}), ("ticket.create", {"site_id": {}}),
    ("ticket.transition", {"ticket_id": ...}), ("ticket.transition", {"status": ...}),
    ("ticket.transition", {"status": "DONE"}), ("ticket.transition", {"status": None}),
    ("ticket.assign", {"assigned_person_id": ...}), ("ticket.assign", {"assigned_person_id": 0}),
    ("ticket.escalate", {"level": -1}), ("ticket.escalate", {"level": 2 ** 40}), ("ticket.escalate", {"level": "1"}),
    ("ticket.append_history", {"entry": ...}), ("ticket.append_history", {"entry": []}),
    ("ticket.append_history", {"entry": {"action": "x", "when": "yesterday"}}),
    ("ticket.append_history", {"entry": {"action": "x", "when": "2026-02-30T09:00:00Z"}}),
    ("ticket.append_history", {"entry": {"action": "x", "when": "2026-11-24T09:00:00Z", "extra": 1}}),
    ("ticket.bulk_update", {"ticket_ids": []}), ("ticket.bulk_update", {"ticket_ids": [1, 1]}),
    ("ticket.bulk_update", {"ticket_ids": [1, "2"]}), ("ticket.bulk_update", {"ticket_ids": 1}),
    ("ticket.bulk_update", {"ticket_ids": list(range(1, 502))}),
    ("job.create", {"identifier": "GEOFENCE"}), ("job.create", {"type": "SOMETIMES"}), ("job.create", {"starts_at": ...}),
    ("job.create", {"starts_at": "2026-11-24"}), ("job.create", {"starts_at": 1764000000}),
    ("job.create", {"grace_minutes": -1}), ("job.create", {"checkpoints": {}}),
    ("job.create", {"checkpoints": [{"asset_id": 1, "question_set_id": 1}]}),
    ("job.create", {"checkpoints": [{"asset_id": 1, "question_set_id": 1, "seq": -1}]}),
    ("job.create", {"other_info": []}), ("job.create", {"expires_at": "2026-11-24T08:00:00Z"}),
    ("job.transition", {"status": "NEW"}), ("job.autoclose", {"notify": "SHOUT"}), ("job.autoclose", {"jobneed_id": ...}),
    ("job.autoclose_checkpoints", {"jobneed_id": []}), ("job.update_checkpoint", {"parent_id": ...}),
    ("job.update_checkpoint", {"seq": -1}), ("job.update_checkpoint", {"expires_at": "soon"}),
    ("json.merge", {"value": [1]}), ("json.merge", {"value": 1}), ("json.merge", {"aggregate": "jobneed/01"}),
    ("json.merge", {"aggregate": "jobneed/"}), ("json.merge", {"aggregate": "jobneed/9223372036854775808"}),
    ("json.append", {"key": ...}), ("json.append", {"key": 5}), ("json.append", {"max_length": -1}),
    ("json.append", {"value": ...}), ("face.record_verification", {"result": "MAYBE"}),
    ("face.record_verification", {"user_id": ...}),
    ("face.add_embedding", {"vector": [0.5] * 511}), ("face.add_embedding", {"vector": [0.5] * 511 + ["0.5"]}),
    ("face.add_embedding", {"vector": [1e39] * 512}), ("face.add_embedding", {"vector": ...}),
    ("face.add_embedding", {"confidence": 1.5}), ("face.add_embedding", {"validated": 1}),
    ("face.add_embedding", {"is_primary": "no"}), ("face.remove_embedding", {"embedding_id": None}),
    ("face.remove_embedding", {"model_id": ...}),
]
