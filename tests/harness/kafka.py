"""Topics, producers, offsets, and readers that see only what was committed."""

import threading
import uuid

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from check.evidence import to_record
from .waiting import until


class Kafka:
    def __init__(self, bootstrap, replication=1):
        self.bootstrap, self.replication = bootstrap, replication
        self.admin = self.new_admin()

    def new_admin(self):
        return AdminClient({"bootstrap.servers": self.bootstrap, "socket.timeout.ms": 20000})

    def create(self, **partitions_by_topic):
        self.create_topics(partitions_by_topic)

    def create_topics(self, partitions_by_topic):
        topics = [NewTopic(name, count, self.replication) for name, count in partitions_by_topic.items()]
        for future in self.admin.create_topics(topics, operation_timeout=30).values():
            future.result(30)
        until("the topics have leaders", lambda: all(self.has_leaders(name) for name in partitions_by_topic), 30)

    def has_leaders(self, topic):
        partitions = self.admin.list_topics(topic, timeout=20).topics[topic].partitions
        return partitions and all(each.leader >= 0 for each in partitions.values())

    def partitions(self, topic):
        return sorted(self.admin.list_topics(topic, timeout=20).topics[topic].partitions)

    def topic_settings(self, topic):
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        return {name: entry.value for name, entry in
                self.admin.describe_configs([resource])[resource].result(30).items()}

    def committed(self, group, topic, stable=True):
        """Partition -> offset. Not `stable`: what an open transaction may add is not waited for, nor left open."""
        partitions = [TopicPartition(topic, number) for number in self.partitions(topic)]
        request = ConsumerGroupTopicPartitions(group, partitions)
        try:
            answer = self.admin.list_consumer_group_offsets([request], require_stable=stable, request_timeout=10)
            return {each.partition: each.offset for each in answer[group].result(30).topic_partitions}
        except KafkaException:
            # Not there yet; or the client lost its way to the coordinator over a restart of the broker, for good.
            self.admin = self.new_admin()
            return {}

    def has_no_coordinator(self, group):
        """The broker that should serve it says that it does not: of one that is alone, for good."""
        try:
            self.admin.describe_consumer_groups([group], request_timeout=10)[group].result(30)
        except KafkaException as error:
            return error.args[0].code() == KafkaError.NOT_COORDINATOR
        return False

    def move_offsets(self, group, topic, offsets, metadata=""):
        """By hand, as an operator would: the group must be empty, so it asks until it is."""
        partitions = [TopicPartition(topic, number, offset, metadata) for number, offset in offsets.items()]
        request = ConsumerGroupTopicPartitions(group, partitions)

        def moved():
            try:
                answer = self.admin.alter_consumer_group_offsets([request])[group].result(30)
                return all(each.error is None for each in answer.topic_partitions)
            except KafkaException as error:
                if error.args[0].code() in (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP,
                                            KafkaError.REBALANCE_IN_PROGRESS):
                    return False
                raise
        until(f"the group {group} is empty and its offsets are moved", moved, 60, pause=0.2)

    def forget_group(self, group):
        """False while it still has members."""
        try:
            self.admin.delete_consumer_groups([group])[group].result(30)
            return True
        except KafkaException as error:
            if error.args[0].code() == KafkaError.NON_EMPTY_GROUP:
                return False
            raise

    def recreate(self, topic, partitions):
        self.admin.delete_topics([topic], operation_timeout=30)[topic].result(30)

        def created():
            try:
                self.create_topics({topic: partitions})
                return True
            except KafkaException as error:
                if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    return False
                raise
        until(f"{topic} is created again", created, 30, pause=0.1)

    def expel(self, group, instance, topic):
        """Takes the place of a static member; a moment later nobody has it. The member is told when it asks next."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group, "group.instance.id": instance,
                             "session.timeout.ms": 1000, "heartbeat.interval.ms": 300,
                             "partition.assignment.strategy": "range"})
        try:
            consumer.subscribe([topic])
            until(f"{instance} is somebody else", lambda: consumer.poll(0) or consumer.assignment(), 40)
        finally:
            consumer.close()

    def group_members(self, group):
        return len(self.admin.describe_consumer_groups([group], request_timeout=10)[group].result(30).members)

    def ends(self, topic, whole=False):
        """Where a reader of what is committed ends; `whole`: where the topic does."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": f"ends-{uuid.uuid4()}",
                             "isolation.level": "read_uncommitted" if whole else "read_committed"})
        try:
            return {number: self.watermarks(consumer, TopicPartition(topic, number))[1]
                    for number in self.partitions(topic)}
        finally:
            consumer.close()

    @staticmethod
    def watermarks(consumer, place):
        """The leader of a topic that was just created may not know yet that it leads."""
        def look():
            try:
                return consumer.get_watermark_offsets(place, timeout=20)
            except KafkaException as failed:
                if failed.args[0].code() not in (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE):
                    raise
                return None
        return until(f"{place.topic}/{place.partition} has a leader", look, 60)

    def offsets_at(self, topic, milliseconds):
        """Partition -> the first offset written at that time or later; the end where there is none."""
        ends = self.ends(topic)
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": f"times-{uuid.uuid4()}"})
        try:
            asked = [TopicPartition(topic, number, milliseconds) for number in ends]
            found = consumer.offsets_for_times(asked, timeout=20)
            return {each.partition: each.offset if each.offset >= 0 else ends[each.partition] for each in found}
        finally:
            consumer.close()


class Publisher:
    """Sends messages and knows that they arrived."""

    def __init__(self, bootstrap, topic, partitions, partitioner, patience=120):
        self.topic, self.partitions, self.partitioner, self.patience = topic, partitions, partitioner, patience
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 2, "enable.idempotence": True,
                                  "message.timeout.ms": 1000 * patience, "message.max.bytes": 1048576})
        self.positions = []
        self.errors = []

    def send(self, messages):
        """Returns the positions, in the order of the messages."""
        positions = [None] * len(messages)

        def on_delivery(place):
            def delivered(error, message):
                if error is not None:
                    self.errors.append(error)
                else:
                    positions[place] = (message.partition(), message.offset())
            return delivered
        for place, message in enumerate(messages):
            partition = message.partition
            if partition is None:
                partition = self.partitioner(message.key, self.partitions)
            self.produce(message, partition, on_delivery(place))
        self.producer.flush(self.patience)
        assert not self.errors, f"messages were not delivered: {self.errors[:3]}"
        self.positions += positions
        return positions

    def produce(self, message, partition, on_delivery):
        while True:
            try:
                self.producer.produce(self.topic, value=message.value, key=message.key, partition=partition,
                                      headers=message.headers, on_delivery=on_delivery)
                self.producer.poll(0)
                return
            except BufferError:
                self.producer.poll(0.1)


class Tail:
    """Reads a topic from its start, read_committed, for as long as it lives. A message that decodes to None is left out."""

    def __init__(self, bootstrap, topic, decode=lambda record: record):
        self.topic, self.decode = topic, decode
        self.items = []
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"tail-{uuid.uuid4()}",
                                  "enable.auto.commit": False, "auto.offset.reset": "earliest",
                                  "isolation.level": "read_committed", "fetch.wait.max.ms": 50})
        numbers = self.consumer.list_topics(topic, timeout=20).topics[topic].partitions
        self.consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
        self.thread = threading.Thread(target=self.read, name=f"tail {topic}", daemon=True)
        self.thread.start()

    def read(self):
        while not self.ending.is_set():
            messages = self.consumer.consume(500, timeout=0.1)
            items = [self.decode(to_record(each)) for each in messages if each.error() is None]
            with self.lock:
                self.items += [item for item in items if item is not None]

    def all(self):
        with self.lock:
            return list(self.items)

    def close(self):
        self.ending.set()
        self.thread.join(10)
        self.consumer.close()
