"""Put the matrix of the bench on itself into docs/selftest.md.

mlipbench selftest --json > docs/records/selftest.json
python docs/make_selftest.py
"""

import json
from pathlib import Path

from mlipbench.cli.selftest import MARKS

DOCS = Path(__file__).parent
RECORD, PAGE = DOCS / "records/selftest.json", DOCS / "selftest.md"


def main() -> None:
    """Write the table between its marks."""
    matrix = json.loads(RECORD.read_text())["matrix"]
    suites = list(dict.fromkeys(suite for row in matrix.values() for suite in row))
    table = [f"| potential | {' | '.join(suites)} |", "|---" * (len(suites) + 1) + "|"]
    for name, row in matrix.items():
        marks = [MARKS[row[suite]["mark"]] if suite in row else "" for suite in suites]
        table.append(f"| {name} | {' | '.join(marks)} |")
    before, _, rest = PAGE.read_text().partition("<!-- table -->\n")
    after = rest.partition("<!-- end -->")[2]
    PAGE.write_text(before + "\n".join(["<!-- table -->", *table, "<!-- end -->"]) + after)


if __name__ == "__main__":
    main()
