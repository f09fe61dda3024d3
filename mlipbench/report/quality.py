"""How finely a report is drawn, so that the file stays below 5 MB whatever a run holds.

A report is drawn in full first; where that is too large, it is drawn again one step coarser, and says so.
At the last step, figures beyond the limit are left out by name: their data are in the run folder.
"""

from __future__ import annotations

from dataclasses import dataclass

LARGEST = 4_900_000  # bytes of report.html; 5 MB with room for what no step foresees


@dataclass(frozen=True)
class Quality:
    """One step. `said` is what the report tells its reader ("" for the first step)."""

    columns: int  # stretches of a long line, drawn by its lowest and highest point each
    points: int  # more single points than this become shading
    cells: int  # hexagons of a shading across its width
    atoms: int  # most atoms of a picture
    data_rows: int  # rows of figure data in the whole report
    table_rows: int  # most rows of a table, and most numbers shown for information
    text: int  # most characters of a traceback or a plan
    said: str = ""
    drop: bool = False  # whether figures beyond the limit are left out


_EVERYTHING = "are whole in the run folder, under figures/ and suites/"
STEPS = (
    Quality(450, 1500, 44, 1500, 30_000, 5000, 400_000),
    Quality(
        150, 400, 26, 300, 8000, 400, 100_000,
        f"To keep this file below 5 MB, figures are drawn with fewer points, data and long tables are cut; "
        f"they {_EVERYTHING}.",
    ),
    Quality(
        60, 120, 14, 100, 2000, 60, 30_000,
        "To keep this file below 5 MB, figures are drawn coarsely, those beyond the limit not at all, and "
        f"data and long tables are cut; they {_EVERYTHING}.",
        drop=True,
    ),
)  # fmt: skip
