"""Tickets: create, transition, assign, escalate, append_history, bulk_update; and the system ticket of a jobneed."""

from . import rules
from .domain import Changed, Effect, Refused, Unchanged, assignment, differs, given, nobody, someone, step

MACHINE = {
    "NEW": ("OPEN", "CANCELLED"),
    "OPEN": ("RESOLVED", "ONHOLD", "CANCELLED"),
    "ONHOLD": ("OPEN", "RESOLVED", "CANCELLED"),
    "RESOLVED": ("CLOSED", "OPEN"),
}


def new_ticket(number, **columns):
    return {"id": number, "version": 0, "assigned_person_id": None, "assigned_group_id": None, "site_id": None,
            "client_id": None, "asset_id": None, "jobneed_id": None, "history_count": 0, "level": 0, "escalated": False,
            "status": "NEW", "priority": "LOW", "source": "USERDEFINED", "category": None, "comments": None,
            "number": f"T{number}", **columns}


def enter(domain, ticket, action, **entry):
    """One more entry in the history, numbered without a gap."""
    ticket["history_count"] += 1
    row = {"ticket_id": ticket["id"], "seq": ticket["history_count"], "occurred_at": domain.now, "people_id": None,
           "who": domain.actor, "action": action, "details": None, "previous_state": None, **entry}
    domain.put("ticket_history", (row["ticket_id"], row["seq"]), row)


def state_of(ticket):
    return {name: ticket[name] for name in ("status", "level", "priority", "assigned_person_id", "assigned_group_id",
                                            "version")}


def change(domain, ticket, action, changes, comments=None):
    """The change and its history entry, whose previous_state is the row as locked."""
    enter(domain, ticket, action, previous_state=state_of(ticket),
          details={"comments": comments} if comments is not None else None)
    ticket.update(changes)
    domain.touch(ticket)


FINAL = ("CLOSED", "CANCELLED")


def refuse_final(ticket):
    """Nobody is to do it any more."""
    if ticket["status"] in FINAL:
        raise Refused("invalid_transition")


class TicketEffect(Effect):
    def aggregate(self, data):
        return ("ticket", data["ticket_id"])

    def run(self, domain, data, command):
        return self.change(domain, domain.get("ticket", data["ticket_id"]), data) or Changed()

    def change(self, domain, ticket, data):
        raise NotImplementedError


class Create(Effect):
    creates, audits = True, "CREATION"

    def aggregate(self, data):
        return ("ticket", data.get("ticket_id"))

    def run(self, domain, data, command):
        number = data.get("ticket_id")
        if number is not None and domain.get("ticket", number) is not None:
            raise Refused("already_exists")
        if number is None:
            number = domain.draw("ticket", int(domain.event.subject.partition("/")[2]))
        columns = given(data, "priority", "category", "site_id", "client_id", "asset_id", "comments", "source")
        columns.update(someone(data))
        domain.put("ticket", number, domain.touch(new_ticket(number, **columns)))
        return Changed(kind="ticket", key=number)


class Transition(TicketEffect):
    audits = "STATUS_CHANGE"

    def change(self, domain, ticket, data):
        if not step(MACHINE, ticket["status"], data["status"]):
            raise Unchanged()
        change(domain, ticket, "STATUS_CHANGE", given(data, "status", "comments"), data.get("comments"))


class Assign(TicketEffect):
    audits = "ASSIGNMENT_CHANGE"

    def cross_check(self, data):
        return set() if assignment(data) else {""}

    def change(self, domain, ticket, data):
        refuse_final(ticket)
        if not differs(ticket, assignment(data)):
            raise Unchanged()
        change(domain, ticket, "ASSIGNMENT_CHANGE", assignment(data))


class Escalate(TicketEffect):
    audits = "ESCALATION"

    def change(self, domain, ticket, data):
        refuse_final(ticket)
        level = data["level"] if data.get("level") is not None else ticket["level"] + 1
        if level > rules.INT32:
            raise Refused("invalid_data", "/level")
        changes = self.assignment(domain, ticket, data, level)
        changes.update(level=level, escalated=True)
        if not differs(ticket, changes):
            raise Unchanged()
        change(domain, ticket, "ESCALATION", changes)
        return Changed()

    @staticmethod
    def assignment(domain, ticket, data, level):
        """From the command, else from the escalation matrix, else kept."""
        wanted = someone(data)
        if wanted:
            return wanted
        place = {name: ticket[name] for name in ("site_id", "category", "client_id")}
        for row in domain.where("escalation_matrix", level=level, **place):
            found = {name: nobody(row[name]) for name in ("assigned_person_id", "assigned_group_id")}
            if None not in place.values() and any(each is not None for each in found.values()):
                return found
        return {}


class AppendHistory(TicketEffect):
    audits = "HISTORY_APPEND"

    def change(self, domain, ticket, data):
        entry = data["entry"]
        columns = given(entry, "who", "details", "previous_state")
        columns["people_id"] = nobody(entry.get("people_id"))
        if entry.get("when") is not None:
            columns["occurred_at"] = rules.parse_time(entry["when"])
        enter(domain, ticket, entry["action"], **columns)
        domain.touch(ticket)
        return Changed(metadata={"seq": ticket["history_count"]})


class BulkUpdate(Effect):
    creates = True  # the engine asks for no row: the tickets are many

    def aggregate(self, data):
        return ("ticket", min(data["ticket_ids"]))

    def operation(self, data, _before):
        if data.get("status") is not None:
            return "STATUS_CHANGE"
        return "ASSIGNMENT_CHANGE" if assignment(data) else "FIELD_UPDATE"

    def run(self, domain, data, command):
        changes = {**given(data, "status", "priority", "comments"), **assignment(data)}
        if not changes:
            raise Refused("invalid_data", "")
        tickets = [domain.get("ticket", number) for number in data["ticket_ids"]]
        self.check(tickets, data)
        moved = [ticket for ticket in tickets if differs(ticket, changes)]
        metadata = {"count": len(moved), "unchanged": len(tickets) - len(moved)}
        if not moved:
            raise Unchanged(**metadata)
        for ticket in moved:
            change(domain, ticket, self.action(ticket, data), changes, data.get("comments"))
        return Changed([(f"ticket/{ticket['id']}", ticket["version"] - 1, ticket["version"]) for ticket in moved
                        if ticket["id"] != min(data["ticket_ids"])], metadata)

    @staticmethod
    def action(ticket, data):
        """The entry of the history about this ticket."""
        if differs(ticket, given(data, "status")):
            return "STATUS_CHANGE"
        return "ASSIGNMENT_CHANGE" if differs(ticket, assignment(data)) else "FIELD_UPDATE"

    @staticmethod
    def check(tickets, data):
        """One that may not take the change rejects all; the first one names the reason."""
        for ticket in tickets:
            if ticket is None:
                raise Refused("not_found")
            if data.get("status") is not None:
                step(MACHINE, ticket["status"], data["status"])
            if assignment(data):
                refuse_final(ticket)


EFFECTS = {"ticket.create": Create(), "ticket.transition": Transition(), "ticket.assign": Assign(),
           "ticket.escalate": Escalate(), "ticket.append_history": AppendHistory(), "ticket.bulk_update": BulkUpdate()}


def raise_ticket(domain, jobneed, drawn):
    """The system ticket, at most one per jobneed. Decided: it takes over whom and what the jobneed is about."""
    if domain.where("ticket", jobneed_id=jobneed["id"]):
        return None
    # Decided: a jobneed that says it has had its ticket gets no second one.
    if jobneed["other_info"].get("ticket_generated") is True:
        return None
    number = domain.draw("ticket", drawn())
    columns = {name: jobneed[name] for name in ("site_id", "client_id", "asset_id", "assigned_person_id",
                                                "assigned_group_id")}
    ticket = new_ticket(number, source="SYSTEMGENERATED", category="AUTOCLOSED", jobneed_id=jobneed["id"], **columns)
    return domain.put("ticket", number, domain.touch(ticket))
