"""`interlock status`: the verdict first, then each thing to look at with the next step, then the numbers."""

import json
import re
import signal
import subprocess
import time

import psycopg2
import pytest

from harness.commands import append, create_ticket, escalate
from harness.waiting import until


def screen(world, worker, *words, **settings):
    """(exit code, the screen)"""
    done = world.verb("status", *words, http_listen=f"127.0.0.1:{worker.port()}", **settings)
    return done.returncode, done.stdout


def seen_on_screen(world, worker, *wanted, words=()):
    """The screen that has all of them."""
    def looked():
        code, text = screen(world, worker, *words)
        return (code, text) if all(each in text for each in wanted) else None
    return until(f"the screen has {wanted}", looked, 40)


def pause_row(world, scope, target, ends_in):
    world.database.execute(
        "WITH act AS (INSERT INTO interlock.operator_action (verb, actor, host, version, reason)"
        " VALUES ('pause', 'anna', 'here', '1', 'matrix is wrong, OPS-78') RETURNING id)"
        " INSERT INTO interlock.pause (scope, target, ends_at, action_id)"
        " SELECT %s, %s, now() + %s * interval '1 s', id FROM act", scope, target, ends_in)


def test_a_healthy_worker_is_ready_in_four_lines_with_exit_0(world):
    worker = world.worker()
    world.ask(create_ticket(1))
    code, text = seen_on_screen(world, worker, "1 of 1 workers ready", "dead letters 0 open", "backlog   0 commands")
    lines = text.splitlines()
    assert code == 0 and len(lines) == 3, text
    assert re.fullmatch(rf"READY +group {world.group}, 1 of 1 workers ready, exactly once, up \d+ s", lines[0])
    assert re.fullmatch(r"backlog   0 commands +6 partitions owned, 0 stalled +applied [\d,]+/s.*\(last minute\)", lines[1])
    assert re.fullmatch(r"parked    0 +dead letters 0 open", lines[2])
    assert "WARN" not in text and " warning " not in worker.text()


@pytest.mark.seconds(120)
def test_a_held_key_and_a_pause_are_things_to_look_at_and_who_holds_the_row_is_named(world):
    worker = world.worker(worker_park_after="1h", worker_park_when_blocking="0s")
    world.ask(create_ticket(42))
    pause_row(world, "type", "ticket.nothing", 3600)
    with psycopg2.connect(world.database.url, application_name="psql") as holder, holder.cursor() as cursor:
        cursor.execute("SELECT 1 FROM interlock.ticket WHERE id = 42 FOR UPDATE")
        world.publish(*[append(42, "waits") for _ in range(3)])
        pid = holder.info.backend_pid
        code, text = seen_on_screen(world, worker, f'row busy: pid {pid} psql "idle in transaction" since ', "paused: type",
                                    "3 commands wait", "backlog   3 commands, oldest ")
        assert code == 3 and text.startswith("READY, 2 things to look at "), text
        assert "\n      next: interlock explain --key ticket/42\n" in text
        assert 'anna: matrix is wrong, OPS-78\n      next: interlock resume 1\n' in text
        holder.rollback()
    code, text = until("only the pause is left",
                       lambda: (lambda it: it if "1 thing to look at" in it[1] else None)(screen(world, worker)), 30)
    assert code == 3


@pytest.mark.seconds(120)
def test_a_parked_command_that_is_held_names_the_holder_and_the_next_early_one_its_time(world):
    worker = world.worker(worker_park_after="1s")
    world.ask(create_ticket(1))
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    world.publish(append(1, "early", notbefore=at))
    with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE") as holder:
        stuck, behind = append(1, "held"), append(1, "behind")
        world.publish(stuck, behind)
        code, text = seen_on_screen(world, worker, "1 early (next ", " is parked since ", f"pid {holder.info.backend_pid} ",
                                    "parked    3")
        assert code == 3 and f"(next {at[11:19]} UTC)" in text or f"(next {at[:10]}" in text, text
    world.await_events([stuck, behind], 60)
    parked = until("one is parked", lambda: (lambda it: it if it["commands"] == 1 else None)(
        json.loads(worker.get("/status")[1])["parked"]), 30)
    assert parked["next_due"].startswith(at[:19]) and parked["next_early"] == parked["next_due"]


@pytest.mark.seconds(120)
def test_all_asks_every_worker_that_was_seen_and_says_which_does_not_answer(world):
    first, second = world.worker(), world.worker()
    code, text = seen_on_screen(world, first, "2 of 2 workers ready", f"127.0.0.1:{second.port()}: ready", words=("--all",))
    assert code == 0 and text.count(": ready\n  backlog ") == 2, text
    address = f"127.0.0.1:{second.port()}"
    second.kill()
    code, text = screen(world, first, "--all")
    assert code == 3 and text.startswith("NOT READY, "), text
    assert re.search(rf"! slot 1, \S+, pid {second.pid}, {address}: it does not answer: .*is it running\?; seen last at", text)
    done = world.verb("status", "--all", "--output", "json", http_listen=f"127.0.0.1:{first.port()}")
    document = json.loads(done.stdout)
    assert [each["listen"] for each in document["pools"]] == [f"127.0.0.1:{first.port()}"]
    assert [each["listen"] for each in document["missing"]] == [address]


def test_a_worker_that_is_not_ready_says_so_first(world):
    worker = world.worker()
    worker.signal(signal.SIGTSTP)
    code, text = seen_on_screen(world, worker, "not ready: it takes no more commands")
    assert code == 3 and text.startswith("NOT READY, 1 thing to look at ")
    assert world.verb("status", http_listen="127.0.0.1:1").returncode == 1


@pytest.mark.seconds(120)
def test_without_redis_the_screen_says_since_when(world):
    worker = world.worker(REDIS_URL="redis://127.0.0.1:1")
    world.ask(create_ticket(1), escalate(1))
    code, text = seen_on_screen(world, worker, "! without Redis for ", "next: interlock check")
    assert code == 3 and text.startswith("READY, 1 thing")
    assert worker.metric("interlock_without_redis_seconds") > 0


def test_messages_of_another_partitioner_are_a_thing_to_look_at(world):
    worker = world.worker()
    message = create_ticket(1)
    wrong = [partition for partition in range(world.partitions)]
    world.ask(message.at(wrong[0]), *[escalate(1).at(partition) for partition in wrong[1:]])
    code, text = seen_on_screen(world, worker, "in another partition than murmur2 gives their key")
    assert code == 3 and "next: interlock check" in text


def test_watch_prints_a_line_and_another_one_ten_seconds_later_where_there_is_no_terminal(world, binary):
    worker = world.worker()
    environment = world.environment(http_listen=f"127.0.0.1:{worker.port()}")
    with subprocess.Popen([binary, "status", "--watch"], env=environment, stdout=subprocess.PIPE, text=True) as watching:
        began = time.monotonic()
        lines = [watching.stdout.readline(), watching.stdout.readline()]
        took = time.monotonic() - began
        watching.send_signal(signal.SIGTERM)
        watching.wait(20)
    assert 8 < took < 30
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\S+Z  READY  backlog   0 commands .*\n", line), line
    done = world.verb("status", "--watch", "--output", "json")
    assert done.returncode == 1 and "--watch" in done.stderr
