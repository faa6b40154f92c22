"""The results of every scenario in every form, as one table: on the terminal, and in workflows/RACES.md."""

import os
from pathlib import Path

from scenarios import SCENARIOS
from stage import LAYERS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "workflows/RACES.md"
BEGIN, END = "<!-- results begin -->", "<!-- results end -->"

# Column -> the layers that are off in it.
WITHOUT = {f"no {layer}": (layer,) for layer in LAYERS}
ALONE = {f"{layer} alone": tuple(other for other in LAYERS if other != layer) for layer in LAYERS}
TOGETHER = {
    "retry + Redis lock": ("row lock", "transaction", "constraints"),
    "retry + row lock": ("Redis lock", "transaction", "constraints"),
    "retry + row lock + transaction": ("Redis lock", "constraints"),
}
COLUMNS = {**WITHOUT, **ALONE, **TOGETHER}


class Table:
    def __init__(self):
        self.cells = {}  # (scenario, column) -> Result

    def note(self, scenario, column, result):
        self.cells[scenario.name, column] = result

    def differences(self, scenario, column):
        return self.cells[scenario.name, column].differences()

    def cell(self, scenario, column):
        result = self.cells.get((scenario.name, column))
        if result is None:
            return ""
        if result.whole:
            return "all"
        # The fact that is furthest off says enough.
        fact, (found, wanted) = max(result.differences().items(), key=lambda each: abs(each[1][0] - each[1][1]))
        return f"{fact} {found} of {wanted}"

    def whole(self):
        return all(self.cell(scenario, column) for scenario in SCENARIOS for column in ("old", "with", *COLUMNS))

    def rows(self):
        head = ["scenario", "expected", "old pattern", "Interlock", *COLUMNS]
        rows = [head]
        for scenario in SCENARIOS:
            expected = ", ".join(f"{fact} {number}" for fact, number in scenario.expected.items())
            rows.append([scenario.name, expected, self.cell(scenario, "old"), self.cell(scenario, "with"),
                         *[self.cell(scenario, column) for column in COLUMNS]])
        return rows

    def markdown(self):
        rows = self.rows()
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        lines.insert(1, "|" + "---|" * len(rows[0]))
        return "\n".join(lines)

    def write(self):
        """Into the page, between its marks; the words around them are people's."""
        text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else f"# The races\n\n{BEGIN}\n{END}\n"
        before, rest = text.split(BEGIN, 1)
        after = rest.split(END, 1)[1]
        partial = PAGE.with_suffix(".partial")
        partial.write_text(f"{before}{BEGIN}\n{self.markdown()}\n{END}{after}", encoding="utf-8")
        os.replace(partial, PAGE)


def rows_of_page():
    """Scenario -> its cells, as the page has them."""
    table = PAGE.read_text(encoding="utf-8").split(BEGIN, 1)[1].split(END, 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    return {row[0]: row[1:] for row in rows[2:]}
