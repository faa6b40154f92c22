"""Commands and rows with places for ids, so that a sequence can be run again, or a part of it, under ids that nobody
has used.

In a template "§7" is the id base + 7, "§u7" the uuid of that number, "§n:1e2" the number as it is spelt.
"""

import json
import re
from decimal import Decimal

SPAN = 1000  # ids of one sequence


def ref(number):
    return f"§{number}"


def uuid_of(number):
    return f"00000000-0000-4000-8000-{number:012x}"


def fill(template, base):
    """The JSON text of a template under a base of ids."""
    text = json.dumps(template, ensure_ascii=False)
    text = re.sub(r'"§n:([^"]+)"', r"\1", text)
    text = re.sub(r"§u(\d+)", lambda match: uuid_of(base + int(match.group(1))), text)
    text = re.sub(r'"§(\d+)"', lambda match: str(base + int(match.group(1))), text)
    return re.sub(r"§(\d+)", lambda match: str(base + int(match.group(1))), text)


def plain(value):
    """A value as a template spells it."""
    if isinstance(value, Decimal):
        return f"§n:{value}"
    if isinstance(value, list):
        return [plain(each) for each in value]
    return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else value
