"""The faults and inputs that the promises must stand, numbered. Every row has at least one test that names it,
`@pytest.mark.fault(N)`; test_rows.py looks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    fault: str
    looks_at: str  # besides that nothing is lost, doubled, torn or reordered, and that all bounds are kept


ROWS = {
    1: Row("killed at every named point", "every point, several times each"),
    2: Row("stopped longer than its session and its locks, then woken", "nothing of the old owner lands"),
    3: Row("asked to end: under load, twice, without a broker", "within the deadline; nothing is read again after a clean end"),
    4: Row("members join and leave all the time", "no livelock; duplicates that the inbox suppressed"),
    5: Row("one instance id twice, one transactional id twice", "one of them ends or moves, and says why"),
    6: Row("a broker is killed and comes back", "recovery time"),
    7: Row("all brokers are restarted, one after another", "recovery time, the longest stall"),
    8: Row("a coordinator moves in the middle of a transaction", "the ways of the publisher's errors"),
    9: Row("the network is cut: to Kafka, to PostgreSQL, to Redis", "no thread stuck in connect"),
    10: Row("slow, lossy, half open, reset in the middle of a frame", "timeouts are kept"),
    11: Row("the connection breaks right after COMMIT was sent", "applied once"),
    12: Row("the end of a transaction arrives in the next one", "the guard; without it the hole"),
    13: Row("PostgreSQL ends at once; a standby that lacks the last second takes over", "after a replay nothing is lost"),
    14: Row("PostgreSQL: locks, deadlocks, slow, full, read-only", "held and resumed, nothing refused"),
    15: Row("a broken schema, a privilege taken away", "stops taking work, refuses nothing"),
    16: Row("Redis: away, empty, full, busy, asks for a password, read-only", "goes on"),
    17: Row("Redis lies: one lock twice, everything forgotten", "PostgreSQL alone decides"),
    18: Row("clocks jump by an hour", "deadlines and locks do not notice"),
    19: Row("poison", "one refusal or dead letter each; neighbours unaffected; memory"),
    20: Row("duplicates", "applied once; another body is a conflict"),
    21: Row("commands that the domain refuses", "refused once, and the same again"),
    22: Row("one hot key", "order; nobody starves"),
    23: Row("offsets out of range, forgotten, moved; a recreated topic", "nothing is applied again"),
    24: Row("idle past the life of a transactional id", "the producer is rebuilt"),
    25: Row("the audit topic: too large, missing, forbidden, too few replicas", "the batch waits, then one set of events"),
    26: Row("random bytes", "no crash"),
    27: Row("no memory, no file, no thread, no descriptor", "a clean end or another try"),
    28: Row("anything, in any order, for a long time", "all of it, and no slope"),
    29: Row("an answer of the group is lost, or false", "back within the time allowed; not ready meanwhile"),
    30: Row("a quota, or a line that slow", "flows; publications shrink and grow"),
    31: Row("a Redis that floods: an answer without an end, or a byte a second", "memory and time; no death of a worker"),
    32: Row("millions of parked commands are due at one time", "a thousand come back a second, however many there are"),
    33: Row("offsets moved forward and back while recorded events wait", "each is published once, whoever reads on"),
    34: Row("an old snapshot is held open for long", "the bookkeeping that every batch reads does not grow"),
    35: Row("millions of dead letters", "a takeover does not read them"),
    36: Row("a pause is taken and lifted all the time; workers die meanwhile", "nothing that matches commits meanwhile"),
    37: Row("dead letters are redriven while the command line and workers die", "each is answered once, in its key's order"),
    38: Row("lost commands return by replay while the command line and workers die", "each is applied once, in order"),
}
