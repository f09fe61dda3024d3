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
INFORMATION = Badge("Information", "information", "i", "Measured and shown; nothing depends on it.")

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

# (anchor, term, meaning)
TERMS: tuple[tuple[str, str, str], ...] = (
    (
        "partial",
        "Partial: n of 9",
        "How many of the nine checklist items are settled: passed, waived by name, or not applicable to the "
        "intended use. What the potential merely does not offer is not settled. Only nine of nine is "
        "called deployable.",
    ),
    (
        "standard-error",
        "Standard error (±)",
        "How far the number would scatter if the whole measurement were repeated with other samples: one "
        "standard deviation of it. How it was obtained stands beside each number.",
    ),
    (
        "n-eff",
        "n_eff",
        "Effective number of independent samples behind the number: correlated ones count for less than one "
        "each. “exact” marks a count or a deterministic result, which has no error bar.",
    ),
    (
        "bound",
        "Bound",
        "The one-sided 95 % bound: the number moved towards its limit by t standard errors, with t such that "
        "chance alone would cross it in one case of twenty (Student's t with n_eff − 1 degrees of "
        "freedom). It is what is compared with the limit. Where one criterion is asked several times, t is "
        "larger (Holm), so that all claims together err in one case of twenty.",
    ),
    (
        "evidence",
        "Evidence",
        "The least amount of data that a pass asks for besides the number: a length of simulation, a number "
        "of frames. A failure needs none.",
    ),
    (
        "grade",
        "Grade",
        "A stricter limit worth naming that a passing number also meets; it decides nothing.",
    ),
    (
        "required",
        "Required",
        "Decides the verdict of the run and the exit code. A criterion that is required at the target "
        "temperature is advisory at other temperatures.",
    ),
    ("advisory", "Advisory", "Judged and shown, but decides nothing."),
    (
        "unverified",
        "Unverified",
        "Part of what decides the potential's answers, or a reference's numbers, could not be "
        "pinned down; the same name may give other numbers elsewhere.",
    ),
)

TRAINING_TERMS: tuple[tuple[str, str, str], ...] = (
    (
        "mae",
        "MAE, RMSE",
        "Mean absolute error, and root of the mean squared error, which large errors dominate. Energies per "
        "atom; forces over Cartesian components; stresses over the nine components.",
    ),
    (
        "standard-error",
        "Standard error (±)",
        "How far the number would scatter if other trajectories had been held out: one standard deviation of "
        "it, from the scatter between trajectories, since frames of one trajectory are alike.",
    ),
    (
        "relative",
        "Relative error",
        "The RMSE over what a potential without any structure would miss by: for energies their spread about "
        "the best sum of atomic energies, for forces their own r.m.s. value (all forces zero).",
    ),
    (
        "limit",
        "Limit",
        "What the deployment checklist asks of a test set. It stands here for orientation: `mlipbench run` "
        "judges, with confidence bounds and on references of its own.",
    ),
    (
        "kept",
        "Weights that were kept",
        "Those of the epoch with the lowest validation loss of the last stage; averaged over the last steps "
        "where the configuration has ema_decay.",
    ),
    (
        "config-type",
        "config_type",
        "The name that a frame's file gives to its kind; “all” counts every frame of the part.",
    ),
)
