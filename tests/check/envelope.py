"""Reads a record of a command topic the way the contract says, independently of the worker's own decoder."""

import hashlib
import json
import re
import uuid
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Optional

SIZE_MAX = 64 * 1024
DEPTH_MAX = 32
ID_MAX = 128
ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time", "dataschema", "partitionkey", "correlationid",
              "causationid", "traceparent", "actor", "tenant", "expectedversion", "notbefore", "afterparked")

COPIED = ("correlationid", "causationid", "traceparent", "tracestate", "actor", "tenant", "partitionkey", "dataschema",
          "datacontenttype")  # empty is as if absent


@dataclass
class Record:
    """A Kafka record, wherever it was read."""

    topic: str
    partition: int
    offset: int
    key: Optional[bytes]
    value: Optional[bytes]
    headers: list = field(default_factory=list)
    at: Optional[int] = None  # Unix microseconds, by the clock of who sent it

    def header(self, name):
        """The last of that name, which is also what counts for the worker."""
        for key, value in reversed(self.headers):
            if key == name:
                return value
        return None

    @property
    def position(self):
        return (self.topic, self.partition, self.offset)


@dataclass
class Command:
    """A record that can be read as a command: its identity and its type are known."""

    record: Record
    source: str
    id: str
    type: str
    attributes: dict
    data: object

    @property
    def identity(self):
        return (self.source, self.id)

    @property
    def identity_uuid(self):
        return identity_uuid(self.source, self.id)

    @property
    def body(self):
        """Equal for equal commands: what the identity stands for."""
        return (self.type, canonical(self.data))

    @property
    def aggregate_key(self):
        return self.record.key.decode("utf-8", "replace") if self.record.key is not None else None


def identity_uuid(source, id_):
    digest = hashlib.sha256(source.encode() + b"\0" + id_.encode()).digest()
    return str(uuid.UUID(bytes=digest[:16]))


def canonical(value):
    """Equal for equal values: 1, 1.0 and 1e0 are one number, 9007199254740993 and 9007199254740992.0 are two."""
    return json.dumps(_numbers_told_apart(value), sort_keys=True, ensure_ascii=False)


def _numbers_told_apart(value):
    if isinstance(value, dict):
        return {name: _numbers_told_apart(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_numbers_told_apart(member) for member in value]
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, Huge)):
        return value
    if isinstance(value, Huge):
        return {"\0": value.digits}
    sign, digits, exponent = Decimal(value).as_tuple()  # of a text or an integer it is exact
    digits = "".join(map(str, digits)).lstrip("0")
    short = digits.rstrip("0")
    return {"\0": f"{'-' * sign}{short}e{exponent + len(digits) - len(short)}" if short else "0"}


@dataclass(frozen=True)
class Huge:
    """A number that is beyond Decimal, as written."""

    digits: str


class Unreadable(Exception):
    """Not a command at all: it belongs to the dead letters."""


class NotJson(Unreadable):
    """Not even JSON."""


def _no_duplicates(pairs):
    seen = dict(pairs)
    if len(seen) != len(pairs):
        raise Unreadable("duplicate key")
    return seen


def _check_values(value, depth=1):
    if isinstance(value, (dict, list)):
        if depth > DEPTH_MAX:
            raise Unreadable("too deep")
        if isinstance(value, dict):
            for key, member in value.items():
                _check_values(key, depth)
                _check_values(member, depth + 1)
        else:
            for member in value:
                _check_values(member, depth + 1)
    elif isinstance(value, str):
        if "\0" in value:
            raise Unreadable("NUL")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Unreadable("lone surrogate") from error


# NUL, and halves of a pair without their other half, behind an even number of backslashes.
NO_TEXT = re.compile(r"(?<!\\)(?:\\\\)*(?:[\0\udc80-\udcff]|\\u(?:0000|d[89ab][0-9a-f]{2}(?!\\ud[c-f][0-9a-f]{2})"
                     r"|(?<!\\ud[89ab][0-9a-f]{2}\\u)d[c-f][0-9a-f]{2}))", re.IGNORECASE)


def parse_json(raw):
    """Where something is no text and something else no JSON, what comes first says what it is."""
    text = raw.decode("utf-8", "surrogateescape")
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_refuse_constant,
                           parse_float=_decimal)
    except RecursionError as error:
        raise Unreadable("too deep") from error
    except json.JSONDecodeError as error:
        end = error.pos + 1
        if error.msg.startswith("Unterminated string"):
            end = len(text)                  # it tells where the string begins
        elif error.msg.startswith("Invalid \\uXXXX"):
            end = error.pos + 5 * bool(re.match("u[0-9a-fA-F]{4}", text[error.pos:]))  # a whole one ends the text
        if NO_TEXT.search(text[:end]):
            raise Unreadable("no text") from error
        raise NotJson(str(error)) from error
    _check_values(value)
    return value


def _decimal(digits):
    """5.0 is an integer."""
    try:
        number = Decimal(digits)
    except InvalidOperation:
        return Huge(digits)
    small = number.adjusted() < 30 and number.as_tuple().exponent > -65536
    return int(number) if small and number == number.to_integral_value() else number


def _refuse_constant(name):
    raise NotJson(name)


def is_binary(record):
    content_type = (record.header("content-type") or b"").decode("utf-8", "replace").split(";")[0].strip().lower()
    return content_type != "application/cloudevents+json" and record.header("ce_specversion") is not None


def text_of(value):
    """A header."""
    try:
        text = (value or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(str(error)) from error
    if "\0" in text:
        raise Unreadable("NUL")
    return text


def read_binary_data(value):
    """Its identity is in the headers: bytes that are no JSON are wrong data of a command, and stand for themselves."""
    if not value:
        return None
    try:
        return parse_json(value)
    except NotJson:
        return {"not JSON": value.hex()}


def read_command(record):
    """The command of the record; raises Unreadable."""
    if record.value is None:
        raise Unreadable("tombstone")
    if len(record.value) > SIZE_MAX:
        raise Unreadable("too large")
    if is_binary(record):
        attributes = {key[3:]: text_of(value) if key[3:] in ATTRIBUTES else (value or b"").decode("utf-8", "replace")
                      for key, value in record.headers if key.startswith("ce_")}
        text_of(record.header("content-type"))
        data = read_binary_data(record.value)
    else:
        event = parse_json(record.value)
        if not isinstance(event, dict) or "specversion" not in event:
            raise Unreadable("not a CloudEvent")
        attributes = {key: value for key, value in event.items() if key != "data"}
        data = event.get("data")
    for name in ("id", "source", "type"):
        if not isinstance(attributes.get(name), str) or not attributes[name]:
            raise Unreadable(f"no {name}")
    for name in ("id", "source", "type"):
        if len(attributes[name].encode()) > ID_MAX:
            raise Unreadable(f"{name} too long")
    attributes = {name: value for name, value in attributes.items() if value != "" or name not in COPIED}
    return Command(record, attributes["source"], attributes["id"], attributes["type"], attributes, data)


def read_all(records):
    """Splits records into commands and unreadable ones."""
    commands, unreadable = [], []
    for record in records:
        try:
            commands.append(read_command(record))
        except Unreadable:
            unreadable.append(record)
    return commands, unreadable
