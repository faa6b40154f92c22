"""A proxy between a worker and the broker that understands just enough of Kafka to hold a request back.

It reads frames, tells requests by their API key, and puts its own port into the answers that name the broker's, so that
clients come back to it: a broker is written as its host and, right behind it, its port in four bytes.
"""

import socket
import struct
import threading

PRODUCE = 0
END_TXN = 26
TXN_OFFSET_COMMIT = 28


def read_frame(connection):
    """One frame with its length, or None at the end."""
    head = read_exactly(connection, 4)
    if head is None:
        return None
    body = read_exactly(connection, struct.unpack(">i", head)[0])
    return None if body is None else head + body


def read_exactly(connection, size):
    data = bytearray()
    while len(data) < size:
        try:
            part = connection.recv(size - len(data))
        except OSError:
            return None
        if not part:
            return None
        data += part
    return bytes(data)


class Connection:
    """One client's connection and the one to the broker that belongs to it."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.broker = socket.create_connection(proxy.broker)
        for each in (client, self.broker):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer_held = threading.Event()
        self.client_gone = False
        self.asked = {}  # correlation id -> API key
        for target in (self.forward_requests, self.forward_answers):
            threading.Thread(target=target, daemon=True).start()

    def forward_requests(self):
        while (frame := read_frame(self.client)) is not None:
            key, _, correlation = struct.unpack(">hhi", frame[4:12])
            self.asked[correlation] = key
            if self.proxy.watch is None or self.proxy.watch.on_request(self, key, frame):
                self.to_broker(frame)
        if not self.client_gone:
            self.close()

    def forward_answers(self):
        while (frame := read_frame(self.broker)) is not None:
            if self.client_gone:
                self.answer_held.set()
                continue
            if self.proxy.watch is not None:
                self.proxy.watch.on_answer(self.asked.pop(struct.unpack(">i", frame[4:8])[0], None))
            try:
                self.client.sendall(frame.replace(*self.proxy.ports))
            except OSError:
                break
        self.close()

    def to_broker(self, frame):
        try:
            self.broker.sendall(frame)
        except OSError:
            self.close()

    def lose_client(self):
        """The client sees its connection break; the broker does not."""
        self.client_gone = True
        self.client.shutdown(socket.SHUT_RDWR)
        self.client.close()

    def close(self):
        for each in (self.client, self.broker):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()


class Proxy:
    """`watch.on_request(connection, key, frame)`: true forwards the request; `watch.on_answer(key)` is told of answers."""

    def __init__(self, broker, watch=None):
        host, port = broker.rsplit(":", 1)
        self.broker, self.watch = (host, int(port)), watch
        self.listener = socket.create_server((host, 0))
        self.port = self.listener.getsockname()[1]
        self.ports = tuple(host.encode() + struct.pack(">i", each) for each in (int(port), self.port))
        self.connections = []
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def address(self):
        return f"{self.broker[0]}:{self.port}"

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(Connection(self, client))

    def close(self):
        self.listener.close()
        for each in self.connections:
            each.close()


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

    def on_request(self, connection, key, frame):
        with self.lock:
            if not self.armed:
                return True
            if key == END_TXN and self.held is None:
                self.held = (connection, frame)
                connection.lose_client()
                return False
            if key == END_TXN:
                self.seen_again = True
            half_way = key in self.HALVES and self.answered - {key}
            if not half_way or self.delivered.is_set():
                return True
            old, late = self.held
            old.to_broker(late)
            old.answer_held.wait(10)
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

    def on_request(self, _connection, _key, _frame):
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

    def on_request(self, connection, key, frame):
        with self.lock:
            if key != PRODUCE or not self.armed:
                return True
            self.held.append((connection, frame))
            return False

    def release(self):
        """Returns how many requests they are; `answers` counts them when the broker has answered."""
        with self.lock:
            self.answers, held, self.held = 0, self.held, []
        for connection, frame in held:
            connection.to_broker(frame)
        return len(held)

    def on_answer(self, key):
        with self.lock:
            self.answers += key == PRODUCE
