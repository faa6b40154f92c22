"""A relay between a worker and PostgreSQL that knows two things of what it carries: a lane's COMMIT, and its answer."""

import threading

from .relay import Relay, Watcher

COMMIT = b"\0COMMIT\0"                        # the end of a Parse message's head, and its text
COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
ANSWER_LOST, REQUEST_LOST = "answer", "request"


def is_lane(link):
    """The startup packet names the program."""
    return link.notes.get("is_lane", False)


class CommitWatcher(Watcher):
    def __init__(self):
        self.armed, self.cuts, self.lock = None, [], threading.Lock()

    def strikes(self, what, link, sought, piece, tail):
        """Whether what is lost is in this piece; its start may have come with the piece before."""
        with self.lock:
            if not (is_lane(link) and self.armed == what and sought in tail + piece):
                return False
            self.armed = None
            self.cuts.append(what)
            return True

    def asked(self, link, piece):
        link.notes["is_lane"] = is_lane(link) or b"application_name\0lane-" in piece
        if not self.strikes(REQUEST_LOST, link, COMMIT, piece, b""):
            return piece
        # The bytes before it arrive: the server has the effects in hand when the session ends.
        link.send(link.server, piece[:max(piece.index(COMMIT) - 5, 0)])
        link.cut()
        return None

    def answered(self, link, piece):
        tail = link.notes.get("tail", b"")
        link.notes["tail"] = piece[-len(COMMITTED) + 1:]
        if not self.strikes(ANSWER_LOST, link, COMMITTED, piece, tail):
            return piece
        link.cut()
        return None


class DatabaseProxy(Relay):
    """`arm`: the next COMMIT of a lane happens, and its answer is lost; or (REQUEST_LOST) never arrives. `cut`: every
    session ends without a word."""

    def __init__(self, host, port, **options):
        super().__init__(host, port, CommitWatcher(), **options)

    @property
    def cuts(self):
        return len(self.watcher.cuts)

    def arm(self, what=ANSWER_LOST):
        self.watcher.armed = what

    def cut(self, lanes=False):
        for each in self.all():
            if not lanes or is_lane(each):
                each.cut()
