"""Every command of the contract from the command topic to its row and its event, with each of its outcomes."""

import re

import pytest

from harness.checked import checked  # noqa: F401  fixture
from harness.commands import (append, binary, command, create_job, create_ticket, escalate, event, job_transition,
                              structured, transition)


def ticket(world, number, columns):
    return world.database.row(f"SELECT {columns} FROM interlock.ticket WHERE id = %s", number)


def jobneed(world, number, columns):
    return world.database.row(f"SELECT {columns} FROM interlock.jobneed WHERE id = %s", number)


def outcome(event):
    return (event.outcome, event.reason)


def versions(event):
    version = event.data["version"]
    return (version["from"], version["to"]) if version else None


# ---- the event itself ---------------------------------------------------------------------------

def test_the_event_carries_all_that_the_contract_names(shared, number):
    shared.ask(create_ticket(number))
    message = command("ticket.escalate", {"ticket_id": number, "assigned_person_id": 7}, actor="user/9",
                      correlationid="c-17", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    told = shared.ask(message)
    body, data = told.body, told.data
    assert told.key == f"ticket/{number}" == body["subject"] == body["partitionkey"]
    assert body["specversion"] == "1.0" and body["source"] == "/interlock" and body["type"] == "interlock.audit"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", body["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", body["time"])
    assert body["datacontenttype"] == "application/json"
    assert body["correlationid"] == "c-17" and body["causationid"] == message.identity[1]
    assert body["traceparent"] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert data["command"] == {"source": message.identity[0], "id": message.identity[1], "type": "ticket.escalate"}
    assert (data["operation"], data["outcome"], data["reason"]) == ("ESCALATION", "applied", None)
    assert data["version"] == {"from": 1, "to": 2}
    assert data["status"] == {"old": "NEW", "new": "NEW"}
    assert data["person"] == {"old": None, "new": 7}
    assert data["group"] == {"old": None, "new": None}
    assert data["also"] == [] and data["actor"] == "user/9"
    assert isinstance(data["lock_wait_us"], int) and data["lock_wait_us"] >= 0
    assert isinstance(data["transaction_us"], int) and data["transaction_us"] >= 0
    assert data["metadata"]["level"] == {"old": 0, "new": 1}


def test_a_binary_event_is_as_good_as_a_structured_one(shared, number):
    told = shared.ask(binary("ticket.create", {"ticket_id": number, "priority": "HIGH"}, correlationid="b-1"))
    assert outcome(told) == ("applied", None) and told.body["correlationid"] == "b-1"
    assert ticket(shared, number, "status, priority") == ("NEW", "HIGH")


def test_a_structured_event_needs_no_header(shared, number):
    message = create_ticket(number)
    message.headers = []
    assert outcome(shared.ask(message)) == ("applied", None)


def test_every_attribute_of_cloudevents_is_accepted(shared, number):
    body = event("ticket.create", {"ticket_id": number, "priority": "LOW"}, subject=f"ticket/{number}",
                 time="2026-11-24T09:00:00.000Z", partitionkey=f"ticket/{number}", causationid="x", actor="user/1",
                 tenant="acme", tracestate="a=b", dataschema="https://example.org/s", othersextension=True)
    assert outcome(shared.ask(structured(body, f"ticket/{number}"))) == ("applied", None)


# ---- tickets --------------------------------------------------------------------------------------

def test_a_ticket_is_created_under_the_id_it_names(shared, number):
    told = shared.ask(create_ticket(number, category="lift", site_id=3, client_id=4, asset_id=5, comments="stuck",
                                    assigned_person_id=7, assigned_group_id=1))
    assert outcome(told) == ("applied", None) and versions(told) == (0, 1)
    assert told.data["operation"] == "CREATION" and told.data["status"] == {"old": None, "new": "NEW"}
    assert ticket(shared, number, "number, status, level, escalated, category, site_id, client_id, asset_id, comments, "
                  "assigned_person_id, assigned_group_id, version, source") == (
        f"T{number}", "NEW", 0, False, "lift", 3, 4, 5, "stuck", 7, None, 1, "USERDEFINED")


def test_an_id_in_use_is_refused(shared, number):
    first, second = shared.ask(create_ticket(number), create_ticket(number, priority="HIGH"))
    assert outcome(first) == ("applied", None)
    assert outcome(second) == ("rejected", "already_exists") and versions(second) == (1, 1)
    assert ticket(shared, number, "priority, version") == ("LOW", 1)


def test_a_ticket_without_an_id_gets_one_that_is_free(shared):
    taken = [shared.database.value("SELECT last_value FROM interlock.ticket_id_seq") + step for step in (1, 2, 3)]
    shared.ask(*[create_ticket(each) for each in taken])
    told = shared.ask(*[command("ticket.create", {"priority": "LOW"}, key=f"new-{each}") for each in range(4)])
    drawn = [int(each.subject.removeprefix("ticket/")) for each in told]
    assert len(set(drawn)) == 4 and not set(drawn) & set(taken)
    for each, about in zip(drawn, told):
        assert outcome(about) == ("applied", None) and about.key == f"ticket/{each}"
        assert ticket(shared, each, "number") == (f"T{each}",)


@pytest.mark.parametrize("path, answer", [
    (["OPEN", "RESOLVED", "CLOSED"], ("applied", None)),
    (["OPEN", "ONHOLD", "RESOLVED", "OPEN", "CANCELLED"], ("applied", None)),
    (["OPEN", "OPEN"], ("unchanged", None)),
    (["NEW"], ("unchanged", None)),
    (["RESOLVED"], ("rejected", "invalid_transition")),
    (["OPEN", "NEW"], ("rejected", "invalid_transition")),
    (["CANCELLED", "OPEN"], ("rejected", "invalid_transition")),
    (["OPEN", "RESOLVED", "CLOSED", "OPEN"], ("rejected", "invalid_transition")),
], ids=lambda value: "-".join(value) if isinstance(value, list) else value[0])
def test_ticket_transitions_follow_the_machine(shared, number, path, answer):
    told = shared.ask(create_ticket(number), *[transition(number, status) for status in path])
    assert all(outcome(each) == ("applied", None) for each in told[:-1])
    assert outcome(told[-1]) == answer
    before = (["NEW"] + path)[-2]
    after = path[-1] if answer[0] != "rejected" else before
    assert told[-1].data["status"] == {"old": before, "new": after}
    assert ticket(shared, number, "status") == (after,)
    raised = 1 if answer[0] == "applied" else 0
    assert versions(told[-1]) == (len(path), len(path) + raised)


def test_a_transition_leaves_a_history_entry_and_its_comment(shared, number):
    shared.ask(create_ticket(number), transition(number, "OPEN"),
               command("ticket.transition", {"ticket_id": number, "status": "ONHOLD", "comments": "waiting"}))
    assert ticket(shared, number, "comments, history_count") == ("waiting", 2)
    assert shared.database.value("SELECT count(*) FROM interlock.ticket_history WHERE ticket_id = %s", number) == 2


def test_an_assignment_names_a_person_or_a_group(shared, number):
    told = shared.ask(create_ticket(number),
                      command("ticket.assign", {"ticket_id": number, "assigned_person_id": 7}),
                      command("ticket.assign", {"ticket_id": number, "assigned_group_id": 9}),
                      command("ticket.assign", {"ticket_id": number, "assigned_person_id": 1, "assigned_group_id": 9}),
                      command("ticket.assign", {"ticket_id": number, "assigned_group_id": 9}),
                      command("ticket.assign", {"ticket_id": number, "assigned_person_id": None}),
                      command("ticket.assign", {"ticket_id": number}),
                      command("ticket.transition", {"ticket_id": number, "status": "CANCELLED"}),
                      command("ticket.assign", {"ticket_id": number, "assigned_person_id": 7}),
                      command("ticket.escalate", {"ticket_id": number}),
                      command("ticket.bulk_update", {"ticket_ids": [number], "assigned_group_id": None}),
                      command("ticket.append_history", {"ticket_id": number, "entry": {"action": "note", "people_id": 1}}))
    assert [outcome(each) for each in told] == (
        [("applied", None)] * 4 + [("unchanged", None)] * 2 + [("rejected", "invalid_data"), ("applied", None)] +
        [("rejected", "invalid_transition")] * 3 + [("applied", None)])
    assert shared.database.value("SELECT count(*) FROM interlock.ticket_history WHERE ticket_id = %s AND action = 'note' "
                                 "AND people_id IS NULL", number) == 1
    assert [each.data["person"] for each in told[1:4]] == [
        {"old": None, "new": 7}, {"old": 7, "new": 7}, {"old": 7, "new": None}]
    assert told[2].data["group"] == {"old": None, "new": 9}
    assert told[1].data["operation"] == "ASSIGNMENT_CHANGE"
    assert ticket(shared, number, "assigned_person_id, assigned_group_id") == (None, 9)


def test_an_escalation_asks_the_matrix(shared, number):
    shared.database.execute(
        "INSERT INTO interlock.escalation_matrix (site_id, category, client_id, level, assigned_person_id, "
        "assigned_group_id) VALUES (%s, 'fire', 5, 1, 71, 81), (%s, 'fire', 5, 3, 73, NULL)", number, number)
    told = shared.ask(create_ticket(number, site_id=number, category="fire", client_id=5, assigned_person_id=60),
                      escalate(number),                                              # level 1: by the matrix
                      escalate(number),                                              # level 2: no row, kept
                      command("ticket.escalate", {"ticket_id": number, "assigned_person_id": 99}),  # 3: by the command
                      command("ticket.escalate", {"ticket_id": number, "level": 9}))  # the level given
    assert [outcome(each) for each in told] == [("applied", None)] * 5
    assert [each.data["person"]["new"] for each in told] == [60, 71, 71, 99, 99]
    assert [each.data["group"]["new"] for each in told[:4]] == [None, 81, 81, 81]
    assert [each.data["metadata"]["level"]["new"] for each in told[1:]] == [1, 2, 3, 9]
    assert ticket(shared, number, "level, escalated, assigned_person_id, version, history_count") == (9, True, 99, 5, 4)


def test_the_history_of_an_escalation_tells_the_row_as_locked(shared, number):
    shared.ask(create_ticket(number, assigned_person_id=7), transition(number, "OPEN"), escalate(number),
               escalate(number))
    rows = shared.database.rows("SELECT previous_state FROM interlock.ticket_history WHERE ticket_id = %s "
                                "AND previous_state IS NOT NULL ORDER BY seq DESC LIMIT 2", number)
    assert [row[0]["level"] for row in rows] == [1, 0]
    assert rows[0][0]["status"] == "OPEN"


def test_history_is_appended_in_order(shared, number):
    told = shared.ask(create_ticket(number), *[append(number, {"step": step}) for step in range(20)])
    assert all(outcome(each) == ("applied", None) for each in told)
    assert told[1].data["operation"] == "HISTORY_APPEND"
    rows = shared.database.rows("SELECT seq, who, action, people_id, details->'step' FROM interlock.ticket_history "
                                "WHERE ticket_id = %s ORDER BY seq", number)
    assert rows == [(step + 1, "tester", "note", 7, step) for step in range(20)]


def test_a_bulk_update_takes_all_of_its_tickets(shared, number):
    ids = [number + step for step in range(5)]
    shared.ask(*[create_ticket(each) for each in ids])
    told = shared.ask(command("ticket.bulk_update", {"ticket_ids": ids[::-1], "status": "OPEN", "priority": "HIGH",
                                                     "assigned_group_id": 4}))
    assert outcome(told) == ("applied", None)
    named = {told.subject} | {each["aggregate"] for each in told.data["also"]}
    assert named == {f"ticket/{each}" for each in ids}
    also = [each["aggregate"] for each in told.data["also"]]
    assert also == sorted(also) and len(also) == 4
    assert all(each["version"] == {"from": 1, "to": 2} and each["status"] == {"old": "NEW", "new": "OPEN"}
               for each in told.data["also"])
    assert told.data["metadata"]["count"] == 5
    for each in ids:
        assert ticket(shared, each, "status, priority, assigned_group_id, version") == ("OPEN", "HIGH", 4, 2)


@pytest.mark.parametrize("obstacle, reason", [("final", "invalid_transition"), ("absent", "not_found")])
def test_one_ticket_that_may_not_change_rejects_all(shared, number, obstacle, reason):
    ids = [number + step for step in range(3)]
    shared.ask(*[create_ticket(each) for each in (ids if obstacle == "final" else ids[:2])])
    if obstacle == "final":
        shared.ask(transition(ids[2], "CANCELLED"))
    told = shared.ask(command("ticket.bulk_update", {"ticket_ids": ids, "status": "OPEN"}))
    assert outcome(told) == ("rejected", reason) and told.data["also"] == []
    assert [ticket(shared, each, "status, version") for each in ids[:2]] == [("NEW", 1)] * 2


def test_a_bulk_command_refuses_an_expected_version(shared, number):
    shared.ask(create_ticket(number))
    told = shared.ask(command("ticket.bulk_update", {"ticket_ids": [number], "priority": "HIGH"}, expectedversion=1))
    assert told.outcome == "rejected" and told.reason == "invalid_data"
    assert ticket(shared, number, "priority") == ("LOW",)


# ---- versions ---------------------------------------------------------------------------------------

def test_an_expected_version_is_held_against_the_row(shared, number):
    told = shared.ask(create_ticket(number), escalate(number, expectedversion=1), escalate(number, expectedversion=1),
                      escalate(number, expectedversion=2), transition(number, "CLOSED", expectedversion=7))
    assert [outcome(each) for each in told] == [("applied", None), ("applied", None), ("rejected", "stale_object"),
                                                ("applied", None), ("rejected", "stale_object")]
    assert versions(told[2]) == (2, 2)
    assert ticket(shared, number, "level, version") == (2, 3)


def test_expected_version_zero_means_that_there_is_none_yet(shared, number):
    told = shared.ask(command("ticket.create", {"ticket_id": number, "priority": "LOW"}, expectedversion=0),
                      escalate(number, expectedversion=0))
    assert [outcome(each) for each in told] == [("applied", None), ("rejected", "stale_object")]


@pytest.mark.parametrize("message", [
    lambda n: escalate(n), lambda n: transition(n, "OPEN"), lambda n: append(n, "x"),
    lambda n: command("ticket.assign", {"ticket_id": n, "assigned_person_id": 7}),
    lambda n: job_transition(n, "INPROGRESS"), lambda n: command("job.autoclose", {"jobneed_id": n}),
    lambda n: command("job.autoclose_checkpoints", {"jobneed_id": n}),
    lambda n: command("job.update_checkpoint", {"jobneed_id": n + 1, "parent_id": n, "seq": 3}),
    lambda n: command("json.merge", {"aggregate": f"jobneed/{n}", "field": "other_info", "value": {"a": 1}}),
    lambda n: command("json.append", {"aggregate": f"jobneed/{n}", "field": "other_info", "key": "k", "value": 1}),
], ids=["escalate", "transition", "append", "assign", "job_transition", "autoclose", "autoclose_checkpoints",
        "update_checkpoint", "merge", "json_append"])
def test_a_missing_aggregate_is_not_found(shared, number, message):
    told = shared.ask(message(number))
    assert outcome(told) == ("rejected", "not_found")
    assert told.data["version"] is None
    assert told.key == told.subject and told.subject.endswith(f"/{number}")


# ---- jobs -------------------------------------------------------------------------------------------

def test_a_job_is_created_with_its_checkpoints(shared, number):
    told = shared.ask(create_job(number, checkpoints=3, other_info={"shift": "night"}, assigned_person_id=7,
                                 expires_at="2026-11-24T20:00:00Z", grace_minutes=5))
    assert outcome(told) == ("applied", None) and versions(told) == (0, 1) and told.data["operation"] == "CREATION"
    assert jobneed(shared, number, "status, identifier, type, version, other_info, assigned_person_id, grace_minutes") == (
        "ASSIGNED", "INTERNALTOUR", "SCHEDULE", 1, {"shift": "night"}, 7, 5)
    rows = shared.database.rows("SELECT id, asset_id, seq, status, identifier FROM interlock.jobneed "
                                "WHERE parent_id = %s ORDER BY id", number)
    assert rows == [(number + 1 + step, 10 + step, step + 1, "ASSIGNED", "INTERNALTOUR") for step in range(3)]


def test_a_job_without_an_id_gets_one(shared):
    told = shared.ask(command("job.create", {"identifier": "TASK", "type": "ADHOC", "starts_at": "2026-11-24T08:00:00Z",
                                             "checkpoints": [{"asset_id": 1, "question_set_id": 1, "seq": 1}]}, key="new"))
    assert outcome(told) == ("applied", None)
    drawn = int(told.subject.removeprefix("jobneed/"))
    assert jobneed(shared, drawn, "type, status") == ("ADHOC", "ASSIGNED")
    assert shared.database.value("SELECT count(*) FROM interlock.jobneed WHERE parent_id = %s", drawn) == 1


def test_a_jobneed_in_use_is_refused(shared, number):
    told = shared.ask(create_job(number), create_job(number, checkpoints=2))
    assert outcome(told[1]) == ("rejected", "already_exists")
    assert shared.database.value("SELECT count(*) FROM interlock.jobneed WHERE parent_id = %s", number) == 0


@pytest.mark.parametrize("path, answer", [
    (["INPROGRESS", "COMPLETED"], ("applied", None)),
    (["INPROGRESS", "PARTIALLYCOMPLETED", "COMPLETED"], ("applied", None)),
    (["AUTOCLOSED"], ("applied", None)),
    (["INPROGRESS", "INPROGRESS"], ("unchanged", None)),
    (["COMPLETED"], ("rejected", "invalid_transition")),
    (["WORKING"], ("rejected", "invalid_transition")),
    (["AUTOCLOSED", "INPROGRESS"], ("rejected", "invalid_transition")),
], ids=lambda value: "-".join(value) if isinstance(value, list) else value[0])
def test_job_transitions_follow_the_machine(shared, number, path, answer):
    told = shared.ask(create_job(number), *[job_transition(number, status) for status in path])
    assert all(outcome(each) == ("applied", None) for each in told[:-1])
    assert outcome(told[-1]) == answer
    before = (["ASSIGNED"] + path)[-2]
    assert jobneed(shared, number, "status") == (path[-1] if answer[0] != "rejected" else before,)


@pytest.mark.parametrize("notify", ["AUTOCLOSENOTIFY", "RAISETICKETNOTIFY", None])
def test_autoclose_closes_the_job_and_its_checkpoints(shared, number, notify):
    told = shared.ask(create_job(number, checkpoints=2), job_transition(number, "INPROGRESS"),
                      command("job.autoclose", {"jobneed_id": number, "notify": notify}),
                      command("job.autoclose", {"jobneed_id": number, "notify": notify}))
    assert [outcome(each) for each in told[2:]] == [("applied", None), ("unchanged", None)]
    assert told[2].data["operation"] == "AUTOCLOSE"
    assert told[2].data["status"] == {"old": "INPROGRESS", "new": "AUTOCLOSED"}
    assert jobneed(shared, number, "status, other_info") == ("AUTOCLOSED", {
        "autoclosed_by_server": True, "email_sent": notify == "AUTOCLOSENOTIFY",
        "ticket_generated": notify == "RAISETICKETNOTIFY"})
    assert shared.database.rows("SELECT DISTINCT status, other_info->>'autoclosed_by_server' FROM interlock.jobneed "
                                "WHERE parent_id = %s", number) == [("AUTOCLOSED", "true")]
    tickets = shared.database.rows("SELECT id, source, status, version FROM interlock.ticket WHERE jobneed_id = %s",
                                   number)
    if notify == "RAISETICKETNOTIFY":
        assert [row[1:] for row in tickets] == [("SYSTEMGENERATED", "NEW", 1)]
        assert [(each["aggregate"], each["version"]) for each in told[2].data["also"]] == [
            (f"ticket/{tickets[0][0]}", {"from": 0, "to": 1})]
    else:
        assert tickets == [] and told[2].data["also"] == []


def test_autoclose_of_a_half_done_tour_makes_it_partially_completed(shared, number):
    shared.ask(create_job(number, checkpoints=3), job_transition(number, "INPROGRESS"),
               *[command("job.update_checkpoint", {"jobneed_id": number + 1, "parent_id": number, "status": status})
                 for status in ("INPROGRESS", "COMPLETED")])
    told = shared.ask(command("job.autoclose", {"jobneed_id": number, "notify": "AUTOCLOSENOTIFY"}))
    assert outcome(told) == ("applied", None)
    assert told.data["status"] == {"old": "INPROGRESS", "new": "PARTIALLYCOMPLETED"}
    assert shared.database.rows("SELECT status FROM interlock.jobneed WHERE parent_id = %s ORDER BY id", number) == [
        ("COMPLETED",), ("AUTOCLOSED",), ("AUTOCLOSED",)]
    assert jobneed(shared, number, "other_info") == ({},)


def test_a_completed_job_is_not_autoclosed(shared, number):
    told = shared.ask(create_job(number), job_transition(number, "INPROGRESS"), job_transition(number, "COMPLETED"),
                      command("job.autoclose", {"jobneed_id": number, "notify": "RAISETICKETNOTIFY"}))
    assert outcome(told[-1]) == ("unchanged", None)
    assert jobneed(shared, number, "status") == ("COMPLETED",)
    assert shared.database.value("SELECT count(*) FROM interlock.ticket WHERE jobneed_id = %s", number) == 0


def test_only_tour_checkpoints_that_are_assigned_are_autoclosed(shared, number):
    shared.ask(create_job(number, checkpoints=3), create_job(number + 100, checkpoints=2, identifier="TASK"),
               command("job.update_checkpoint", {"jobneed_id": number + 2, "parent_id": number, "status": "INPROGRESS"}))
    told = shared.ask(*[command("job.autoclose_checkpoints", {"jobneed_id": each})
                        for each in (number, number, number + 100)])
    assert [outcome(each) for each in told] == [("applied", None), ("unchanged", None), ("unchanged", None)]
    assert shared.database.rows("SELECT status FROM interlock.jobneed WHERE parent_id = %s ORDER BY id", number) == [
        ("AUTOCLOSED",), ("INPROGRESS",), ("AUTOCLOSED",)]
    assert jobneed(shared, number, "status, version") == ("ASSIGNED", 3)


def test_a_checkpoint_and_its_parent_change_together(shared, number):
    shared.ask(create_job(number, checkpoints=2))
    before = jobneed(shared, number, "modified_at")[0]
    told = shared.ask(command("job.update_checkpoint", {"jobneed_id": number + 1, "parent_id": number, "seq": 9,
                                                        "status": "INPROGRESS", "remarks": "late",
                                                        "expires_at": "2026-11-24T23:00:00Z"}, actor="user/5"))
    assert outcome(told) == ("applied", None) and told.subject == f"jobneed/{number}" and versions(told) == (1, 2)
    assert told.data["operation"] == "CHECKPOINT_UPDATE"
    assert jobneed(shared, number + 1, "seq, status, remarks") == (9, "INPROGRESS", "late")
    version, modified, author = jobneed(shared, number, "version, modified_at, modified_by")
    assert version == 2 and modified > before and author == "user/5"


@pytest.mark.parametrize("child, status, answer", [
    (1, "COMPLETED", ("rejected", "invalid_transition")),
    (50, "INPROGRESS", ("rejected", "not_found")),
])
def test_a_checkpoint_that_may_not_change_leaves_no_trace(shared, number, child, status, answer):
    shared.ask(create_job(number, checkpoints=1))
    told = shared.ask(command("job.update_checkpoint", {"jobneed_id": number + child, "parent_id": number, "seq": 5,
                                                        "status": status}))
    assert outcome(told) == answer
    assert jobneed(shared, number, "version") == (1,) and jobneed(shared, number + 1, "seq") == (1,)


def test_a_child_of_another_parent_is_refused(shared, number):
    shared.ask(create_job(number, checkpoints=1), create_job(number + 100, checkpoints=1))
    told = shared.ask(command("job.update_checkpoint", {"jobneed_id": number + 101, "parent_id": number, "seq": 5}))
    assert told.outcome == "rejected"
    assert jobneed(shared, number + 101, "seq") == (1,)


# ---- JSON and counters ------------------------------------------------------------------------------

def merge(number, value, **attributes):
    return command("json.merge", {"aggregate": f"jobneed/{number}", "field": "other_info", "value": value}, **attributes)


def json_append(number, key, value, **data):
    return command("json.append", {"aggregate": f"jobneed/{number}", "field": "other_info", "key": key, "value": value,
                                   **data})


def test_json_is_merged_at_its_top_level(shared, number):
    told = shared.ask(create_job(number, other_info={"a": {"x": 1}, "b": 2}), merge(number, {"a": {"y": 2}, "c": [1]}))
    assert outcome(told[1]) == ("applied", None) and told[1].data["operation"] == "JSON_UPDATE"
    assert jobneed(shared, number, "other_info, version") == ({"a": {"y": 2}, "b": 2, "c": [1]}, 2)


def test_json_is_appended_and_its_oldest_dropped(shared, number):
    shared.ask(create_job(number, other_info={"log": "not an array"}),
               *[json_append(number, "log", {"n": step}, max_length=5) for step in range(8)],
               json_append(number, "other", "first"))
    assert jobneed(shared, number, "other_info") == ({"log": [{"n": step} for step in range(3, 8)],
                                                      "other": ["first"]},)


@pytest.mark.parametrize("aggregate, field", [("jobneed/{}", "remarks"), ("ticket/{}", "other_info"),
                                              ("nonsense/{}", "other_info"), ("jobneed/x{}", "other_info")])
def test_only_listed_json_fields_may_be_changed(shared, number, aggregate, field):
    shared.ask(create_job(number), create_ticket(number))
    told = shared.ask(command("json.merge", {"aggregate": aggregate.format(number), "field": field, "value": {"a": 1}},
                              key=f"jobneed/{number}"))
    assert outcome(told) == ("rejected", "invalid_data")
    assert jobneed(shared, number, "version, other_info") == (1, {})


def verification(number, model, result="SUCCESS", **data):
    return command("face.record_verification", {"verification_id": number, "model_id": model, "user_id": 5,
                                                "result": result, **data})


def test_verifications_are_counted(shared, number):
    shared.database.execute("INSERT INTO interlock.face_model (id) VALUES (%s)", number)
    shared.database.execute("INSERT INTO interlock.face_embedding (id, user_id, model_id) VALUES (%s, 5, %s)", number,
                            number)
    shared.database.execute("INSERT INTO interlock.face_embedding_counter (id) VALUES (%s)", number)
    told = shared.ask(*[verification(number + step, number, "SUCCESS" if step % 4 else "FAILED", embedding_id=number)
                        for step in range(20)])
    assert all(outcome(each) == ("applied", None) for each in told)
    assert all(each.data["version"] is None and each.data["operation"] == "COUNTER_UPDATE" for each in told)
    for table in ("face_model", "face_embedding_counter"):
        assert shared.database.row(f"SELECT verification_count, successful_verifications, last_used IS NOT NULL "
                                   f"FROM interlock.{table} WHERE id = %s", number) == (20, 15, True)
    assert shared.database.value("SELECT count(*) FROM interlock.face_verification_log WHERE model_id = %s", number) == 20


def test_a_verification_of_an_unknown_model_is_refused(shared, number):
    told = shared.ask(verification(number, number))
    assert told.outcome == "rejected"
    assert shared.database.value("SELECT count(*) FROM interlock.face_verification_log WHERE id = %s", number) == 0


def test_a_counter_refuses_an_expected_version(shared, number):
    shared.database.execute("INSERT INTO interlock.face_model (id) VALUES (%s)", number)
    told = shared.ask(command("face.record_verification", {"verification_id": number, "model_id": number, "user_id": 5,
                                                           "result": "SUCCESS"}, expectedversion=1))
    assert outcome(told) == ("rejected", "invalid_data")


def test_a_verification_id_in_use_is_refused(shared, number):
    shared.database.execute("INSERT INTO interlock.face_model (id) VALUES (%s)", number)
    told = shared.ask(verification(number, number), verification(number, number))
    assert outcome(told[0]) == ("applied", None)
    assert told[1].outcome == "rejected"
    assert shared.database.value("SELECT verification_count FROM interlock.face_model WHERE id = %s", number) == 1
