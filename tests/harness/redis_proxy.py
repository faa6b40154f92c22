"""A proxy between workers and Redis that lies: whoever asks for a lock is told that he has it.

It passes requests on as they are and reads answers frame by frame. The scripts of the lock answer with a string of
'1' and '0', one for each name; its zeros become ones.
"""

import socket
import threading
import urllib.parse


def read_answer(stream):
    """One answer of any kind, as bytes; empty at the end."""
    head = stream.readline()
    if head[:1] == b"$" and int(head[1:]) >= 0:
        return head + stream.read(int(head[1:]) + 2)
    if head[:1] == b"*":
        return head + b"".join(read_answer(stream) for _ in range(max(int(head[1:]), 0)))
    return head


def granted(answer):
    """The answer with every refusal turned into a grant, and how many there were. The first line is the length."""
    head, _, text = answer.partition(b"\r\n")
    if answer[:1] != b"$" or not text.strip() or text.strip(b"01\r\n"):
        return answer, 0
    return head + b"\r\n" + text.replace(b"0", b"1"), text.count(b"0")


class LyingRedis:
    """`with LyingRedis(url) as redis`: workers are given redis.url; `lies` counts the locks that somebody else had, and
    `honest` makes it only count them; `scripts` counts what was asked."""

    def __init__(self, url, honest=False):
        address = urllib.parse.urlparse(url)
        self.server, self.honest, self.lies = (address.hostname, address.port), honest, 0
        self.scripts = 0
        self.lock, self.sockets = threading.Lock(), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        who = address.netloc.rpartition("@")[0]  # the server asks for its password behind us, too
        self.url = f"redis://{who + '@' if who else ''}127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.server)
            except OSError:
                return
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sockets.append(each)
            threading.Thread(target=self.ask, args=(client, server), daemon=True).start()
            threading.Thread(target=self.answer, args=(client, server), daemon=True).start()

    @staticmethod
    def count(data):
        return data.count(b"$4\r\nEVAL\r\n") + data.count(b"$7\r\nEVALSHA\r\n")

    @staticmethod
    def end(*sockets):
        for each in sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def ask(self, client, server):
        try:
            while data := client.recv(65536):
                with self.lock:
                    self.scripts += self.count(data)
                server.sendall(data)
        except OSError:
            pass
        self.end(client, server)

    def answer(self, client, server):
        try:
            with server.makefile("rb") as stream:
                while answer := read_answer(stream):
                    lie, refused = granted(answer)
                    with self.lock:
                        self.lies += refused
                    client.sendall(answer if self.honest else lie)
        except OSError:
            pass
        self.end(client, server)

    def close(self):
        self.end(self.listener, *self.sockets)
        for each in (self.listener, *self.sockets):
            each.close()


class FloodingRedis:
    """Greets as Redis does, and answers every script with something that has no end, until the client hangs up.

    `with FloodingRedis("array") as redis`; `scripts` counts what was asked, `sent` the bytes that were taken."""

    FLOODS = {  # its beginning, and the part that follows for ever
        "array": (b"*1000000000\r\n", b"$1\r\n1\r\n" * 8192),
        "nested": (b"", b"*1000000000\r\n" * 4096),
        "bulk": (b"$512000000\r\n", b"1" * 65536),
        "line": (b"+", b"1" * 65536),
        "replies": (b"", b"$1\r\n1\r\n" * 8192),
        "drip": (b"$60000\r\n", None),  # a byte a second
    }

    def __init__(self, flood):
        self.begins, self.follows = self.FLOODS[flood]
        self.scripts = self.sent = 0
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        LyingRedis.end(self.listener, *self.sockets)

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(client)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            with client, client.makefile("rb") as stream:
                while head := stream.readline():
                    words = [stream.read(int(stream.readline()[1:]) + 2) for _ in range(int(head[1:]))]
                    if words[0].startswith(b"EVAL"):
                        self.scripts += 1
                        self.flood(client)
                        return
                    client.sendall(b"+PONG\r\n")
        except (OSError, ValueError):
            pass

    def flood(self, client):
        client.sendall(self.begins)
        while True:
            if self.follows is None:
                client.sendall(b"1")
                threading.Event().wait(1)
            else:
                self.sent += client.send(self.follows)
