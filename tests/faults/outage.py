"""PostgreSQL is of no use for a while: the load meanwhile, what workers say of it, and the judgement when it is over."""

import contextlib
import json

from harness.waiting import holds_for, until
from trial import minutes

# By nature some of the load is refused; by a fault of PostgreSQL's nothing may be.
REFUSED_FOR_IT = ("SELECT count(*) FROM interlock.audit_event WHERE outcome = 'rejected' AND "
                  "(reason = 'invalid_data' OR reason LIKE 'constraint:%%' OR metadata::text LIKE '%%sqlstate%%')")


def long_or(quick):
    return quick if minutes() == 0 else 4 * quick


def quiet_load(trial):
    """Just enough that there is always something to do: speed is not measured here."""
    load = trial.load(burst=8)
    load.pause = 0.08
    return load


# ---- what is looked at -----------------------------------------------------------------------------------

def why_not_ready(worker):
    code, body = worker.get("/readyz")
    return body if code == 503 else ""


def is_held_for(world, reason):
    """Whether a status shows a held command with this reason."""
    answers = [worker.get("/status") for worker in world.workers]
    return any(reason in each["reason"] for code, body in answers if code == 200
               for cell in json.loads(body)["cells"] for each in cell["held"]["longest"])


def stays_away(world, *words, host=True):
    """Every worker lives, is not ready and says why, with the SQLSTATE and the host; nothing is answered any more."""
    wanted = [*words, str(world.server.port)] if host else words
    for worker in world.workers:
        until(f"it says {wanted}", lambda worker=worker: all(word in why_not_ready(worker) for word in wanted), 40)
        assert worker.get("/healthz")[0] == 200
    until("nobody is answered any more", lambda: stands_still(world), 30)


def stands_still(world):
    """For a second; on a full disk some pages have room for a while."""
    before = world.database.count("audit_event")
    with contextlib.suppress(AssertionError):
        holds_for("nobody is answered", lambda: world.database.count("audit_event") == before, 1)
        return True
    return False


def goes_on(trial):
    trial.recovered()
    for worker in trial.world.workers:
        worker.wait_ready(40)


def judge(trial, **options):
    trial.judge(**options)
    assert trial.world.database.value(REFUSED_FOR_IT) == 0
