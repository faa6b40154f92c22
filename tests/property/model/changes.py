"""The account that an event has to give of the rows that its command changed: DOMAIN.md, "Operations" and "Metadata"."""

import json
from datetime import timedelta
from decimal import Decimal

from . import rules

# Of what the command did to rows that were there; look-ups and logs are not told.
TOLD = {"ticket": None, "attendance": None, "behaviour_profile": None, "face_user": None,
        "jobneed": ("parent_id", "checkpoints", "jobneed_id"), "job": ("parent_id", "jobs", "job_id"),
        "face_embedding": ("user_id", "embeddings", "embedding_id")}
ELSEWHERE = {"id", "version", "created_at", "modified_at", "modified_by", "parent_id", "user_id",
             "first", "last", "length", "number", "final"}
TIMES = {"starts_at", "expires_at", "started_at", "ended_at", "ends_at", "punch_in", "punch_out"}
DOCUMENTS = {"other_info", "extras", "anomaly_history", "arrivals", "frequent_locations"}
ONE_CHILD = ("job.update_checkpoint", "job.save_checkpoint", "job.save_geofence_assignment")
DOCUMENT_BYTES, DIGEST_BYTES = 4096, 112


def printed_time(moment):
    return (rules.EPOCH + timedelta(microseconds=moment)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def shown(name, value):
    return printed_time(value) if name in TIMES and value is not None else value


def same(left, right):
    from .domain import same as equal
    return equal(left, right)


def changed(before, after):
    """{column: (old, new)} of two rows; after None: the row is gone."""
    found = {}
    for name, old in before.items():
        new = after.get(name) if after is not None else None
        if name not in ELSEWHERE and (not same(old, new) if after is not None else old is not None):
            found[name] = (old, new)
    return found


class Told:
    """Every member that the metadata must have, and how: a value, or Document."""

    def __init__(self):
        self.members, self.children = {}, {}

    def add(self, before, after):
        for name, (old, new) in changed(before, after).items():
            self.members[name] = Document(old, new) if name in DOCUMENTS else \
                {"old": shown(name, old), "new": shown(name, new)}
        return self


class Document:
    """old and new by key; whole where one of them is no object."""

    def __init__(self, old, new):
        self.old, self.new = old, new

    def pairs(self):
        if not (isinstance(self.old, dict) and isinstance(self.new, dict)):
            return None
        missing = object()
        keys = [key for key in set(self.old) | set(self.new)
                if not same(self.old.get(key, missing), self.new.get(key, missing))]
        return {key: {"old": self.old.get(key), "new": self.new.get(key)} for key in keys}

    def why_not(self, found):
        """None: it is told so."""
        pairs = self.pairs()
        if size_of(found) > DOCUMENT_BYTES + 2 * DIGEST_BYTES:
            return f"{size_of(found)} bytes"
        if pairs is None or set(found) == {"old", "new"} and is_digest(found["old"]) and is_digest(found["new"]):
            pairs, found = {"": {"old": self.old, "new": self.new}}, {"": found}
        if set(pairs) != set(found):
            return f"the keys {sorted(pairs)}, found {sorted(found)}"
        wanted_size = size_of(pairs)
        for key, pair in pairs.items():
            for side in ("old", "new"):
                value = found[key].get(side)
                if is_digest(value) and size_of(pair[side]) > DIGEST_BYTES - 10 and wanted_size > DOCUMENT_BYTES - 500:
                    continue
                if not same(value, pair[side]):
                    return f"{key!r}, {side}: {pair[side]!r}, found {value!r}"
        return None


def is_digest(value):
    return isinstance(value, dict) and set(value) == {"bytes", "sha256"}


def size_of(value):
    return len(json.dumps(value, default=float, separators=(",", ":"), ensure_ascii=False).encode())


def tell(loaded, now, type_, own):
    """loaded: {(table, key): row before}; now: how to ask for a row. Returns (Told of the command's own aggregate,
    {further aggregate: Told})."""
    told, further, children = Told(), {}, []
    for (table, key), before in loaded.items():
        if before is None or table not in TOLD:
            continue
        after = now(table, key)
        parent = TOLD[table] and before[TOLD[table][0]]
        if parent is not None:
            if after is None or changed(before, after):
                children.append((TOLD[table], key, Told().add(before, after)))
        elif (table, key) == own:
            told.add(before, after)
        elif after["version"] != before["version"]:
            further[f"{table}/{key}"] = Told().add(before, after)
    if type_ in ONE_CHILD:
        for _, _, child in children:
            told.members.update(child.members)
    else:
        for (_, list_name, id_name), key, child in children:
            told.children.setdefault(list_name, {})[key] = (id_name, child)
    return told, further


def why_not(told, metadata):
    """The lack or the excess of the metadata, in a sentence; None: there is none."""
    for name, wanted in told.members.items():
        if name not in metadata:
            return f"{name}: nothing of it"
        if isinstance(wanted, Document):
            why = wanted.why_not(metadata[name])
        else:
            why = None if same_pair(wanted, metadata[name]) else f"{wanted!r}, found {metadata[name]!r}"
        if why is not None:
            return f"{name}: {why}"
    for name, value in metadata.items():
        if isinstance(value, dict) and "old" in value and name not in told.members:
            return f"{name}: nothing, found {value!r}"
    for list_name, children in told.children.items():
        found = metadata.get(list_name) or []
        if is_digest(found):
            continue
        numbers = [next(iter(each.values())) for each in found]
        if numbers != sorted(children):
            return f"{list_name}: {sorted(children)}, found {numbers}"
        for each, number in zip(found, numbers):
            id_name, child = children[number]
            rest = {name: value for name, value in each.items() if name != id_name}
            why = why_not(child, rest)
            if why is not None:
                return f"{list_name}, {number}, {why}"
    return None


def same_pair(wanted, found):
    """Numbers of the rows are doubles, those of the event as they are printed: the shortest that read back so."""
    if not isinstance(found, dict) or set(found) != {"old", "new"}:
        return False
    return all(same(found[side], wanted[side]) or near(found[side], wanted[side]) for side in ("old", "new"))


def near(found, wanted):
    return isinstance(wanted, float) and isinstance(found, (int, Decimal)) and not isinstance(found, bool) and \
        abs(float(found) - wanted) <= 1e-12 * max(1.0, abs(wanted))
