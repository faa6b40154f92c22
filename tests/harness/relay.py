"""A TCP relay between a worker and one service: the wire that a test can hurt. It cuts, resets, falls silent, delays
and slows down; what understands the bytes (cut.py, proxy.py) watches on top of it.

A fault names its direction: ASKED goes to the server, ANSWERED comes back.
"""

import select
import socket
import struct
import threading
import time

from .waiting import until

ASKED, ANSWERED = "asked", "answered"
BOTH = (ASKED, ANSWERED)
PIECE = 65536


class Ended(Exception):
    """The link is being taken down."""


class Watcher:
    """Sees every piece of what goes by. None instead of a piece: it does not arrive."""

    def read(self, receive):
        """The next piece; nothing at the end. `receive(size)` gives up to so many bytes."""
        return receive(PIECE)

    def asked(self, _link, piece):
        return piece

    def answered(self, _link, piece):
        return piece


class Line:
    """The state of one direction of all links."""

    def __init__(self):
        self.carries = threading.Event()
        self.carries.set()
        self.delay = 0.0        # seconds that each piece takes
        self.rate = None        # bytes a second that are read from the sender
        self.tears = 0          # so many pieces more arrive by half, and then a reset


class Link:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, relay, client):
        self.relay, self.client, self.server = relay, client, None
        self.silent = frozenset()  # directions that this link alone carries no more
        self.client_gone = self.lingers = False  # lingers: the server is not told when the client goes
        self.notes = {}            # a watcher's own, of this link
        self.ending, self.closing, self.pumps = threading.Event(), threading.Lock(), 0
        self.wake, self.waker = socket.socketpair()
        threading.Thread(target=self.open, daemon=True).start()

    # ---- what its threads do ----

    def open(self):
        try:
            self.wait_line(ASKED)
            self.server = socket.create_connection(self.relay.target, 10)
        except (OSError, Ended):
            self.end()
            self.close()
            return
        for each in (self.client, self.server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            each.setblocking(False)
        self.pumps = 2
        threading.Thread(target=self.carry, args=(ANSWERED, self.server, self.client), daemon=True).start()
        self.carry(ASKED, self.client, self.server)

    def carry(self, direction, source, target):
        watcher = self.relay.watcher
        look = watcher.asked if direction == ASKED else watcher.answered
        try:
            while piece := watcher.read(lambda size: self.receive(direction, source, size)):
                piece = look(self, piece)
                if piece:
                    self.pass_on(direction, target, piece)
                if self.client_gone and direction == ASKED:
                    break
        except (OSError, Ended):
            pass
        if direction == ASKED and self.lingers:
            self.client_gone = True
        if not (self.client_gone and direction == ASKED):
            self.end()
        with self.closing:
            self.pumps -= 1
            last = self.pumps == 0
        if last:
            self.close()

    def wait_line(self, direction):
        """While the line is silent nothing is read: the sender is not told that it ended, either."""
        line = self.relay.lines[direction]
        while direction in self.silent or not line.carries.is_set():
            if self.ending.wait(0.02):
                raise Ended
        return line

    def receive(self, direction, source, size):
        line = self.wait_line(direction)
        if line.rate:
            size = max(1, min(size, line.rate // 10))
        data = self.when_ready(source, select.POLLIN, lambda: source.recv(size))
        if line.rate and self.ending.wait(len(data) / line.rate):
            raise Ended
        self.wait_line(direction)
        return data

    def pass_on(self, direction, target, piece):
        line = self.wait_line(direction)
        if line.delay and self.ending.wait(line.delay):
            raise Ended
        torn = len(piece) > 1 and self.relay.takes_tear(direction)
        self.send(target, piece[:len(piece) // 2] if torn else piece)
        if torn:
            self.reset()
            raise Ended

    def send(self, target, piece):
        left = memoryview(piece)
        while left:
            left = left[self.when_ready(target, select.POLLOUT, lambda: target.send(left)):]

    def when_ready(self, end, events, call):
        """Waits in a way that the link's end interrupts: a reset leaves only when nobody is in the socket any more."""
        if self.ending.is_set():
            raise Ended
        poll = select.poll()
        poll.register(end, events)
        poll.register(self.wake, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self.ending.is_set():
                raise Ended
            if end.fileno() in ready:
                try:
                    return call()
                except BlockingIOError:
                    continue

    # ---- how it ends ----

    def cut(self):
        """Both sides see their connection end."""
        for each in (self.client, self.server):
            shut(each)
        self.end()

    def reset(self):
        """Both sides get a RST, and nothing of what was under way."""
        for each in (self.client, self.server):
            linger_none(each)
        self.end()

    def lose_client(self):
        """The client sees its connection break; the server does not."""
        self.client_gone = True
        shut(self.client)

    def end(self):
        if not self.ending.is_set():
            self.ending.set()
            try:
                self.waker.send(b"x")
            except OSError:
                pass

    def close(self):
        for each in (self.client, self.server, self.wake, self.waker):
            if each is not None:
                each.close()
        self.relay.forget(self)


def shut(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except (OSError, AttributeError):
        pass


def linger_none(end):
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except (OSError, AttributeError):
        pass


class Relay:
    """Listens on a port of its own for clients of one server."""

    def __init__(self, host, port, watcher=None, listen_on="127.0.0.1"):
        self.target, self.watcher = (host, int(port)), watcher or Watcher()
        self.lines = {direction: Line() for direction in BOTH}
        self.lock = threading.Lock()
        self.links = []
        self.attempts = []      # time.monotonic() of each connection that was made to it
        self.new = "taken"      # or "slammed", "unanswered", "refused"
        self.fillers = []
        self.host, self.port, self.listener = listen_on, 0, None
        self.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    # ---- who comes ----

    def listen(self):
        self.listener = socket.create_server((self.host, self.port), backlog=128)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]

    def accept(self):
        while self.new != "closed":
            poll = select.poll()
            with self.lock:
                if self.new in ("taken", "slammed"):
                    poll.register(self.listener, select.POLLIN)
            if poll.poll(50):
                with self.lock:
                    self.take()

    def take(self):
        if self.new not in ("taken", "slammed"):
            return
        try:
            client, _ = self.listener.accept()
        except OSError:
            return
        self.attempts.append(time.monotonic())
        if self.new == "slammed":
            linger_none(client)
            client.close()
        else:
            self.links.append(Link(self, client))

    def forget(self, link):
        with self.lock:
            if link in self.links:
                self.links.remove(link)

    def all(self):
        with self.lock:
            return list(self.links)

    def takes_tear(self, direction):
        line = self.lines[direction]
        with self.lock:
            torn = line.tears > 0
            line.tears -= torn
            return torn

    # ---- what is done to new connections ----

    def slam(self):
        """Accepted, and reset at once."""
        self.new = "slammed"

    def refuse(self):
        """Nobody listens."""
        with self.lock:
            self.new = "refused"
            self.listener.close()

    def leave_unanswered(self):
        """The kernel drops every SYN, as if the host were gone: the queue of those who wait for accept() is full."""
        with self.lock:
            self.new = "unanswered"
            self.listener.listen(0)
        until("the queue is full", lambda: not self.fill(), 20, pause=0)

    def fill(self):
        filler = socket.socket()
        filler.settimeout(0.3)
        try:
            filler.connect((self.host, self.port))
        except TimeoutError:
            filler.close()
            return False
        self.fillers.append(filler)
        return True

    # ---- what is done to all of them ----

    def cut(self):
        for each in self.all():
            each.cut()

    def reset(self):
        for each in self.all():
            each.reset()

    def tear(self, direction=ANSWERED, count=1):
        """The next pieces of that direction, whichever links carry them, arrive by half, with a reset behind."""
        with self.lock:
            self.lines[direction].tears += count

    def torn(self):
        return all(line.tears == 0 for line in self.lines.values())

    def silence(self, *directions):
        """Connections stay and carry nothing; new ones are accepted and carry nothing."""
        for direction in directions or BOTH:
            self.lines[direction].carries.clear()

    def leave_half_open(self, *directions):
        """The connections of this moment carry nothing any more, for good; new ones are as always."""
        for each in self.all():
            each.silent = frozenset(directions or BOTH)

    def slow(self, rate, *directions):
        """So many bytes a second and connection."""
        for direction in directions or BOTH:
            self.lines[direction].rate = rate

    def delay(self, seconds, *directions):
        for direction in directions or BOTH:
            self.lines[direction].delay = seconds

    def heal(self):
        """Back to the first state. A silent connection goes on where it was."""
        with self.lock:
            if self.new == "refused":
                self.listen()
            if self.new == "unanswered":
                self.listener.listen(128)
                for each in self.fillers:  # the first ones in the queue
                    until("it is taken", self.drop_one, 10)
                    each.close()
            self.fillers, self.new = [], "taken"
        for line in self.lines.values():
            line.delay, line.rate, line.tears = 0.0, None, 0
            line.carries.set()

    def drop_one(self):
        try:
            self.listener.accept()[0].close()
            return True
        except BlockingIOError:
            return False

    def close(self):
        with self.lock:
            self.new = "closed"
            self.listener.close()
        for each in self.fillers:
            each.close()
        self.cut()
