"""A proxy between a worker and PostgreSQL that knows one thing of what it carries: the answer to a COMMIT."""

import socket
import threading

COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"


class Link:
    """One session and the server's side of it."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.server = socket.create_connection(proxy.server)
        self.is_lane = False
        for each in (client, self.server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self.carry, args=(client, self.server, self.look_asked), daemon=True).start()
        threading.Thread(target=self.carry, args=(self.server, client, self.look_answered), daemon=True).start()

    def look_asked(self, data):
        # The startup packet names the program.
        self.is_lane = self.is_lane or b"application_name\0lane-" in data
        return True

    def look_answered(self, data):
        if not (self.is_lane and self.proxy.armed and COMMITTED in data):
            return True
        self.proxy.armed = False
        self.proxy.cuts += 1
        return False

    def carry(self, source, target, look):
        try:
            while (data := source.recv(65536)) and look(data):
                target.sendall(data)
        except OSError:
            pass
        self.cut()

    def cut(self):
        """The worker sees its connection break."""
        for each in (self.client, self.server):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class DatabaseProxy:
    """`arm`: the next COMMIT of a lane happens, and its answer is lost. `cut`: every session ends without a word."""

    def __init__(self, host, port):
        self.server, self.links, self.armed, self.cuts = (host, port), [], False, 0
        self.listener = socket.create_server((host, 0))
        self.address = f"{host}:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.links.append(Link(self, client))

    def arm(self):
        self.armed = True

    def cut(self, lanes=False):
        for each in self.links:
            if each.is_lane or not lanes:
                each.cut()

    def close(self):
        self.listener.close()
        self.cut()
