"""A relay between a worker and the broker that understands just enough of Kafka to hold a request back.

It reads frames, tells requests by their API key, and puts its own address into the answers that name the broker's, so
that clients come back to it: a broker is written as the length of its host, its host, and right behind it its port in
four bytes.
"""

import struct
import threading

from .relay import Ended, Relay, Watcher

PRODUCE = 0
METADATA = 3
JOIN_GROUP = 11
SYNC_GROUP = 14
CREATE_TOPICS = 19
END_TXN = 26
TXN_OFFSET_COMMIT = 28


class FrameWatcher(Watcher):
    """`watch.on_request(link, key, frame)`: true forwards the request; `watch.on_answer(key)` is told of answers;
    `watch.change_answer(key, frame)`, where it is there: what the client gets instead, None: nothing."""

    def __init__(self, watch=None):
        self.watch, self.places = watch, ()

    def rewrite(self, server, relay):
        """Two forms of a text's length: in two bytes, and (newer requests) in one, counted from 1."""
        def written(host, port, compact):
            name = host.encode()
            return struct.pack(">B" if compact else ">h", len(name) + compact) + name + struct.pack(">i", port)
        self.places = [(written(*server, compact), written(*relay, compact)) for compact in (False, True)]

    def read(self, receive):
        head = read_exactly(receive, 4)
        return head and head + read_exactly(receive, struct.unpack(">i", head)[0])

    def asked(self, link, piece):
        key, _, correlation = struct.unpack(">hhi", piece[4:12])
        keys_of(link)[correlation] = key
        return piece if self.watch is None or self.watch.on_request(link, key, piece) else None

    def answered(self, link, piece):
        if link.client_gone:
            held_of(link).set()
            return None
        key = keys_of(link).pop(struct.unpack(">i", piece[4:8])[0], None)
        if self.watch is not None:
            self.watch.on_answer(key)
            piece = self.watch.change_answer(key, piece) if hasattr(self.watch, "change_answer") else piece
            if piece is None:
                return None
        body = piece[4:]
        for old, new in self.places:
            body = body.replace(old, new)
        return struct.pack(">i", len(body)) + body


def arrives(link, frame):
    """Delivers a frame that was held; false where the broker has closed that connection meanwhile."""
    try:
        link.send(link.server, frame)
        return True
    except (OSError, ValueError, Ended):
        return False


def read_exactly(receive, size):
    """Nothing where the connection ends within."""
    data = bytearray()
    while len(data) < size:
        part = receive(size - len(data))
        if not part:
            return b""
        data += part
    return bytes(data)


def keys_of(link):
    """API key of each request that is out, by its correlation id."""
    return link.notes.setdefault("keys", {})


def held_of(link):
    """Set when the broker has answered a client that is gone."""
    return link.notes.setdefault("answer_held", threading.Event())


class Proxy(Relay):
    def __init__(self, broker, watch=None, **options):
        host, port = broker.rsplit(":", 1)
        watcher = FrameWatcher(watch)
        super().__init__(host, port, watcher, **options)
        watcher.rewrite(self.target, (self.host, self.port))


class LateEndTxn:
    """Holds the end of one transaction back, lets the client believe that its connection broke (it sends it again, and
    the broker is content), and delivers the old one in the middle of the next transaction: between its events and its
    offsets, whichever come first. `then` is called right after that, before the other half goes on."""

    HALVES = (PRODUCE, TXN_OFFSET_COMMIT)

    def __init__(self, then):
        self.then = then
        self.lock = threading.Lock()
        self.armed = self.seen_again = False
        self.held = None
        self.answered = set()
        self.delivered = threading.Event()

    def arm(self):
        self.armed = True

    def on_request(self, link, key, frame):
        with self.lock:
            if not self.armed:
                return True
            if key == END_TXN and self.held is None:
                self.held = (link, frame)
                link.lose_client()
                return False
            if key == END_TXN:
                self.seen_again = True
            half_way = key in self.HALVES and self.answered - {key}
            if not half_way or self.delivered.is_set():
                return True
            old, late = self.held
            arrives(old, late)
            held_of(old).wait(10)
            self.then()
            self.delivered.set()
            return False

    def on_answer(self, key):
        if self.seen_again and key in self.HALVES:
            self.answered.add(key)


class Silence:
    """From `begin` on nothing that the client asks reaches the broker, so it learns nothing of what goes on there."""

    def __init__(self):
        self.began = threading.Event()

    def begin(self):
        self.began.set()

    def on_request(self, _link, _key, _frame):
        return not self.began.is_set()

    def on_answer(self, key):
        pass


class LateProduce:
    """Holds events back from `arm` on; `release` delivers them, however much later, and whoever sent them."""

    def __init__(self):
        self.armed = False
        self.lock = threading.Lock()
        self.held = []
        self.answers = 0

    def arm(self):
        self.armed = True

    def on_request(self, link, key, frame):
        with self.lock:
            if key != PRODUCE or not self.armed:
                return True
            self.held.append((link, frame))
            return False

    def release(self):
        """Returns how many requests they are; `answers` counts them when the broker has answered."""
        with self.lock:
            self.answers, held, self.held = 0, self.held, []
        return sum(arrives(link, frame) for link, frame in held)

    def on_answer(self, key):
        with self.lock:
            self.answers += key == PRODUCE


class DelayedEndTxn:
    """Holds the end of one transaction until told to release it; whoever waits for its answer gives up meanwhile."""

    def __init__(self):
        self.lock = threading.Lock()
        self.armed, self.held, self.ends_since = False, None, 0

    def hold_next(self):
        with self.lock:
            self.armed, self.held, self.ends_since = True, None, 0

    def on_request(self, link, key, frame):
        with self.lock:
            if key != END_TXN:
                return True
            if not self.armed:
                self.ends_since += 1
                return True
            self.armed, self.held, link.lingers = False, (link, frame), True
            return False

    def given_up(self):
        """The client ended another transaction, or the same one again."""
        with self.lock:
            return self.held is not None and self.ends_since > 0

    def release(self):
        """False where the broker has closed that connection meanwhile."""
        return arrives(*self.held)

    def on_answer(self, key):
        pass


class Answers:
    """Told of answers; lets every request through."""

    def __init__(self):
        self.lock = threading.Lock()

    def on_request(self, _link, _key, _frame):
        return True

    def on_answer(self, key):
        pass


class LostAnswers(Answers):
    """The next so many answers to requests of one kind never arrive, and their connections stay."""

    def __init__(self, key, count=1):
        super().__init__()
        self.key, self.left, self.lost = key, count, 0

    def change_answer(self, key, frame):
        with self.lock:
            if key != self.key or self.left == 0:
                return frame
            self.left, self.lost = self.left - 1, self.lost + 1
            return None


class TopicsLate(Answers):
    """From when topics are made, the broker does not know one of them for so many answers."""

    def __init__(self, topic, answers):
        super().__init__()
        self.denial, self.left, self.made = TopicDenied(topic), answers, False

    def on_request(self, link, key, frame):
        self.made = self.made or key == CREATE_TOPICS
        return super().on_request(link, key, frame)

    def change_answer(self, key, frame):
        if not self.made or key != METADATA or self.left == 0:
            return frame
        self.denial.joined, self.denial.denied = True, 0
        changed = self.denial.change_answer(key, frame)
        self.left -= changed is not frame
        return changed


class TopicDenied(Answers):
    """Who has just joined the group asks, as its leader, what topics there are; the answer, and every other one until it
    has told the group what it makes of it, says that there is no such topic. Later ones are true."""

    UNKNOWN_TOPIC = struct.pack(">h", 3)

    def __init__(self, topic):
        super().__init__()
        # In an answer the topic's error stands before its name, and behind it a flag and its partitions.
        self.name = struct.pack(">h", len(topic)) + topic.encode()
        self.joined, self.assigned, self.denied = False, False, 0

    def on_request(self, _link, key, _frame):
        with self.lock:
            self.assigned = self.assigned or (self.denied > 0 and key == SYNC_GROUP)
        return True

    def change_answer(self, key, frame):
        with self.lock:
            # Its error stands behind correlation and throttle time: the first answer only gives a member its name.
            self.joined = self.joined or (key == JOIN_GROUP and frame[12:14] == bytes(2))
            at = frame.find(bytes(2) + self.name)
            if key != METADATA or not self.joined or self.assigned or at < 0:
                return frame
            self.denied += 1
            flag = at + 2 + len(self.name)
            body = frame[4:at] + self.UNKNOWN_TOPIC + self.name + frame[flag:flag + 1] + bytes(4) + \
                frame[end_of_partitions(frame, flag + 1):]
            return struct.pack(">i", len(body)) + body


def end_of_partitions(frame, at):
    """Behind a topic's partitions in a Metadata answer of versions 1 to 4: of each its error, number and leader, then
    two lists of brokers."""
    def number():
        return struct.unpack(">i", frame[at:at + 4])[0]
    count, at = number(), at + 4
    for _ in range(count):
        at += 10
        for _ in range(2):
            at += 4 + 4 * number()
    return at
