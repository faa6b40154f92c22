"""Every command type and what it does."""

from . import attendance, behaviour, documents, faces, jobneeds, plans, tickets

EFFECTS = {**tickets.EFFECTS, **jobneeds.EFFECTS, **plans.EFFECTS, **attendance.EFFECTS, **behaviour.EFFECTS,
           **documents.EFFECTS, **faces.EFFECTS}
