"""Keys, ids and names from outside may hold what terminals obey and what turns the direction of writing. None of it leaves
as it came: not in the log, on a page, or in the answer of a verb."""

import json
import re

from harness.commands import create_ticket, event, structured
from harness.database import session
from harness.waiting import until

NASTY = "\x1b]0;owned\x07\x1b[2J\n\u009b31m\u202e\u2066\u200b\ufeffend"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def assert_harmless(text, what):
    found = OBEYED.search(text)
    assert not found, (what, text[max(found.start() - 80, 0):found.end() + 20])
    assert "\nowned" not in text and not re.search(r"^.{0,3}31m", text, re.MULTILINE), (what, text)


def test_nothing_from_outside_is_obeyed_by_a_terminal(world):
    worker = world.worker(log_level="debug")
    listen = f"127.0.0.1:{worker.port()}"
    world.ask(create_ticket(1))
    stuck = structured(event("ticket.escalate", {"ticket_id": 1}, id=f"held{NASTY}", source=f"/s{NASTY}", actor=NASTY),
                       f"ticket/1{NASTY}")
    outputs = []
    with session(world.database.url, autocommit=False) as holder:
        holder.cursor().execute("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE")
        world.publish(stuck)
        status = until("a held key is shown", lambda: held_keys(world, listen))
        assert status == [f"ticket/1{NASTY}"]  # JSON: the same characters, escaped
        outputs += [(path, worker.get(path)[1]) for path in ("/", "/status", "/readyz")]
        outputs += [answer_of(world, "status", http_listen=listen), answer_of(world, "status", "--output", "json",
                                                                              http_listen=listen)]
        holder.rollback()
    assert world.await_events([stuck])[0].outcome == "applied"
    bad = event("ticket.escalate", {"ticket_id": 1, NASTY: 1}, id=f"bad{NASTY}", subject=f"ticket/1{NASTY}")
    told = world.ask(structured(bad, f"k{NASTY}"))
    assert told.reason == "invalid_data"
    for words in (["audit", "list"], ["audit", "list", "--output", "json"], ["audit", "list", "--aggregate", NASTY],
                  ["audit", "show", "--source", f"/s{NASTY}", "--id", f"held{NASTY}"], ["check"], ["audit", NASTY], [NASTY],
                  ["audit", "list", "--author", NASTY], ["describe", "settings"]):
        outputs.append(answer_of(world, *words))
    outputs.append(answer_of(world, "publish", stdin=json.dumps(bad) + "\n" + json.dumps({**bad, "id": f"x{NASTY}" * 20})))
    worker.end()
    outputs.append(("log", worker.text()))
    for what, text in outputs:
        assert_harmless(text, what)
    shown = dict(outputs)
    assert "\\u001b" in shown["audit list"] and "\\u202e" in shown["audit list"] and "\\u009b" in shown["status"]


def held_keys(world, listen):
    done = world.verb("status", "--output", "json", http_listen=listen)
    cells = json.loads(done.stdout)["cells"] if done.returncode in (0, 3) else []
    return [each["key"] for cell in cells for each in cell["held"]["longest"]]


def answer_of(world, *words, **options):
    done = world.verb(*words, **options)
    return (" ".join(words), done.stdout + done.stderr)
