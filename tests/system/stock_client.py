"""Interlock as somebody else's program sees it: confluent-kafka and cloudevents, and nothing of ours.

    KAFKA_BOOTSTRAP=127.0.0.1:25402 python3 tests/system/stock_client.py [--commands T] [--audit T] [--ticket N]

Creates a ticket, escalates it (in structured and in binary mode), reads the audit events back with a read_committed
consumer, and prints them. Exit 0 if every command was answered within the time.
"""

import argparse
import os
import sys
import time
import uuid
from datetime import datetime, timezone

from cloudevents.core.bindings.kafka import KafkaMessage, from_structured, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer, Producer

SOURCE = "/stock-client"


def command(type_, ticket, **data):
    return CloudEvent(attributes={
        "id": str(uuid.uuid4()), "source": SOURCE, "type": type_, "specversion": "1.0",
        "time": datetime.now(timezone.utc), "subject": f"ticket/{ticket}", "partitionkey": f"ticket/{ticket}",
        "datacontenttype": "application/json", "correlationid": "stock-1", "actor": "user/7",
    }, data={"ticket_id": ticket, **data})


def publish(bootstrap, topic, messages):
    failures = []
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for message in messages:
        producer.produce(topic, key=message.key, value=message.value, headers=message.headers,
                         on_delivery=lambda error, _: failures.append(error) if error else None)
    if producer.flush(30) or failures:
        sys.exit(f"not delivered: {failures}")


def read_back(bootstrap, topic, wanted, seconds=30):
    """The audit events that answer the commands, by command id."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"stock-{uuid.uuid4()}",
                         "isolation.level": "read_committed", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found, deadline = {}, time.monotonic() + seconds
    try:
        while set(found) != wanted and time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is None or message.error():
                continue
            headers = dict(message.headers() or [])
            event = from_structured(KafkaMessage(headers, message.key(), message.value()), JSONFormat(), CloudEvent)
            answered = event.get_data()["command"]
            if answered["source"] == SOURCE and answered["id"] in wanted:
                found[answered["id"]] = event
    finally:
        consumer.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--commands", default="interlock.commands")
    parser.add_argument("--audit", default="interlock.audit")
    parser.add_argument("--ticket", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    bootstrap = os.environ["KAFKA_BOOTSTRAP"]

    create = command("ticket.create", arguments.ticket, priority="HIGH", comments="the lift stands still")
    escalate = command("ticket.escalate", arguments.ticket)
    assign = command("ticket.assign", arguments.ticket, assigned_person_id=9)
    publish(bootstrap, arguments.commands,
            [to_structured(create, JSONFormat()), to_structured(escalate, JSONFormat()), to_binary(assign, JSONFormat())])
    commands = [create, escalate, assign]
    found = read_back(bootstrap, arguments.audit, {each.get_id() for each in commands})
    for each in commands:
        event = found.get(each.get_id())
        if event is None:
            print(f"{each.get_type()}: no answer")
            continue
        data = event.get_data()
        version = data["version"]
        print(f"{each.get_type()}: {data['outcome']} {event.get_subject()} version {version['from']} -> {version['to']} "
              f"person {data['person']['old']} -> {data['person']['new']}")
    return 0 if len(found) == len(commands) else 1


if __name__ == "__main__":
    sys.exit(main())
