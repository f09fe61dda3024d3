"""The vocabulary of the report: verdicts, their signs and meanings, exit codes.

A verdict is always a word beside a sign whose shape is its own, so that nothing hangs on colour.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Badge:
    """How a status is shown: a word, a style class that is also the name of its sign."""

    word: str
    style: str
    mark: str  # one character for plain text
    meaning: str


PASS = Badge(
    "Pass",
    "pass",
    "✓",
    "The number lies inside its limit with 95 % confidence, error bar included, "
    "and the amount of evidence that the criterion demands is there.",
)
FAIL = Badge(
    "Fail",
    "fail",
    "✗",
    "The number lies outside its limit with 95 % confidence. "
    "A short run is enough for this: what is outside beyond doubt is outside.",
)
INCONCLUSIVE = Badge(
    "Inconclusive",
    "inconclusive",
    "?",
    "Neither can be said: the error bar crosses the limit, or less evidence is there than the criterion "
    "demands. The reason says how much more would decide.",
)
ERROR = Badge(
    "Error",
    "error",
    "!",
    "The number could not be computed: the potential or the suite broke. The traceback is kept.",
)
NOT_APPLICABLE = Badge(
    "Not applicable",
    "not-applicable",
    "–",
    "The criterion has no meaning for this potential in this use; the reason says why.",
)
NOT_MEASURED = Badge(
    "Not measured",
    "not-measured",
    "○",
    "No suite of this run measured the item. It is missing, which is not the same as passed.",
)
WAIVED = Badge(
    "Waived",
    "waived",
    "W",
    "The criterion is not met, and the suite file sets it aside by name, "
    "with a reason and a date on which the waiver ends.",
)
INFORMATION = Badge("Information", "information", "i", "Measured and shown; nothing required depends on it.")

BADGES: dict[str, Badge] = {
    "PASS": PASS,
    "FAIL": FAIL,
    "INCONCLUSIVE": INCONCLUSIVE,
    "ERROR": ERROR,
    "NOT_APPLICABLE": NOT_APPLICABLE,
    "NOT_MEASURED": NOT_MEASURED,
    "WAIVED": WAIVED,
    "INFORMATION": INFORMATION,
}

EXIT_CODES: dict[int, str] = {
    0: "every required criterion passes",
    1: "a required criterion fails",
    2: "the suite file or an input is wrong, nothing was run",
    3: "a required criterion is inconclusive",
    4: "a required criterion ended in an error",
    70: "a fault of mlipbench itself",
}

TERMS: tuple[tuple[str, str], ...] = (
    (
        "±",
        "One standard error. How it was obtained stands beside each number.",
    ),
    (
        "n_eff",
        "Effective number of independent samples behind the number; “exact” marks a count or a "
        "deterministic result, which has no error bar.",
    ),
    (
        "Required",
        "Decides the verdict of the run and the exit code. A criterion that is required at the target "
        "temperature is advisory at other temperatures.",
    ),
    ("Advisory", "Judged and shown, but decides nothing."),
    (
        "Bound",
        "The end of the one-sided 95 % confidence interval that was compared with the limit. Where one "
        "criterion is asked several times, Holm's correction applies.",
    ),
    (
        "Unverified",
        "Part of what decides the potential's answers, or a reference's numbers, could not be "
        "pinned down; the same name may give other numbers elsewhere.",
    ),
)
