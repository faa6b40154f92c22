"""The races of DOMAIN.md, one description each: what is there, what is sent at once, what must be there afterwards, and
how the old system did the same."""

from .attacks import ATTACKS
from .attendance import ATTENDANCE
from .background import BACKGROUND
from .jobs import JOBS
from .json_fields import JSON_FIELDS
from .phones import PHONES
from .tickets import TICKETS

RACES = [*BACKGROUND, *TICKETS, *JSON_FIELDS, *JOBS, *ATTENDANCE, *PHONES]
SCENARIOS = [*RACES, *ATTACKS]
BY_NAME = {each.name: each for each in SCENARIOS}
