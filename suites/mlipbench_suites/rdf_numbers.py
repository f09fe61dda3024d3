"""Numbers of the suite `rdf`: peaks of the run and of the reference, coordination numbers, difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.api import Measurement, blocks, peaks, rdf
from mlipbench_suites.held_against import Held
from mlipbench_suites.runs import Run

METHOD = "cubic fit to ln g about the maximum; error: blocks of the run with the memory that the data show"
BOTH = f"{METHOD}; and the reference's, whose bins are correlated as the run's"


@dataclass(frozen=True)
class PeakPair:
    """A peak of the run, of the reference, or of both."""

    position: blocks.Estimate | None  # A, of the run
    height: blocks.Estimate | None
    reference: tuple[float, float] | None  # position and height
    position_error: blocks.Estimate | None  # %, of the run from the reference
    height_error: blocks.Estimate | None


@dataclass(frozen=True)
class Compared:
    """g(r) of a pair of elements beside its reference."""

    name: str
    found: rdf.Distribution
    stderr: np.ndarray  # (n_bins,)
    reference: np.ndarray | None  # (n_bins,) of the curve that decides
    reference_error: np.ndarray | None  # None: not stated
    peaks: list[PeakPair]
    shell_A: float | None  # the first minimum
    neighbours: blocks.Estimate | None
    reference_neighbours: float | None
    difference: rdf.Difference | None
    remarks: list[str]


def compare(name: str, found: rdf.Distribution, held: list[Held], rng: np.random.Generator) -> Compared:
    """All numbers of one pair; the curve that decides among `held` lies on the bins of `found`."""
    stderr = blocks.column_errors(found.series)
    deciding = next((h for h in held if h.decides and len(h.x) >= len(found.g)), None)
    y = error = None
    remarks = []
    if deciding is not None:
        y = deciding.y[: len(found.g)]
        error = None if deciding.error is None else deciding.error[: len(found.g)]
        if error is None:
            remarks.append(
                f"{name}: the reference states no errors, so its peaks are compared and not judged."
            )
    grounds = found.g if y is None else y
    places = peaks.find(grounds, stderr if y is None else error)
    if y is not None and not places:
        remarks.append(f"{name}: the reference resolves no peak below {found.edges[-1]:.3g} A.")
    pairs = [_pair(found, stderr, y, error, place) for place in places]
    shell = float(found.r[places[0][2]]) if places else None
    return Compared(
        name=name,
        found=found,
        stderr=stderr,
        reference=y,
        reference_error=error,
        peaks=pairs,
        shell_A=shell,
        neighbours=found.neighbours(shell) if shell else None,
        reference_neighbours=_shell(found, y, shell) if y is not None and shell else None,
        difference=None
        if y is None
        else rdf.difference(found, y, np.zeros(len(y)) if error is None else error, rng),
        remarks=remarks,
    )


def _pair(
    found: rdf.Distribution,
    stderr: np.ndarray,
    y: np.ndarray | None,
    error: np.ndarray | None,
    place: tuple[int, int, int],
) -> PeakPair:
    """The peak between two minima, of the run and of the reference.

    Bins of a g(r) do not err independently. How much more a peak errs than from independent bins is known
    for the run, whose blocks have it, and taken over for the reference, of which only bins are known.
    """
    left, _, right = place
    own = peaks.fit(found.r, found.g, left, right)
    theirs = None if y is None else peaks.fit(found.r, y, left, right)
    reference = None if theirs is None else (theirs.position, theirs.height)
    if own is None:
        return PeakPair(None, None, reference, None, None)
    away = found.series - found.g
    position = blocks.estimate(own.position, own.position + away @ own.position_gradient)
    height = blocks.estimate(own.height, own.height + away @ own.height_gradient)
    if theirs is None:
        return PeakPair(position, height, reference, None, None)
    known = (0.0, 0.0) if error is None else theirs.errors(error)
    alone = own.errors(np.nan_to_num(stderr))
    more = [
        max((e.stderr or 0.0) / (s or np.inf), 1.0) for e, s in zip((position, height), alone, strict=True)
    ]
    return PeakPair(
        position,
        height,
        reference,
        _relative(position, theirs.position, more[0] * known[0]),
        _relative(height, theirs.height, more[1] * known[1]),
    )


def _relative(own: blocks.Estimate, theirs: float, error: float) -> blocks.Estimate:
    """100 (own / theirs - 1) in %, both errors in it."""
    ratio = own.value / theirs
    parts = [
        (None if own.stderr is None else 100 * own.stderr / theirs, own.n_eff),
        (100 * ratio * error / theirs, np.inf),
    ]
    return blocks.joint(100 * (ratio - 1), parts)


def _shell(found: rdf.Distribution, g: np.ndarray, reach: float) -> float:
    """Coordination number of the reference at the density of the run."""
    last = int(np.argmin(np.abs(found.edges - reach)))
    return float(found.density * g[:last] @ rdf.shell_volumes(found.edges[: last + 1]))


def measurements(c: Compared, run: Run) -> list[Measurement]:
    """Of the peaks and of the difference."""
    found: list[Measurement] = []
    for k, peak in enumerate(c.peaks, start=1):
        conditions = {**run.conditions, "pair": c.name, "peak": float(k)}
        if peak.position is not None and peak.height is not None:
            found += [
                _measured("peak_position", peak.position, "A", conditions, run, METHOD),
                _measured("peak_height", peak.height, "1", conditions, run, METHOD),
            ]
        for name, relative in (
            ("peak_height_error", peak.height_error),
            ("peak_position_error", peak.position_error),
        ):
            if relative is not None:
                found.append(_judged(name, relative, conditions, run, c.reference_error is not None))
    if c.reference is not None:
        lost = [str(k) for k, peak in enumerate(c.peaks, start=1) if peak.position is None]
        found.append(
            Measurement(
                name="missing_peaks",
                value=float(len(lost)),
                unit="1",
                exact=True,
                conditions={**run.conditions, "pair": c.name},
                method="peaks of the reference between whose minima g of the run has no maximum",
                note=f"number {', '.join(lost)} of {len(c.peaks)}" if lost else "",
            )
        )
    if c.difference is not None:
        found += _difference(c, c.difference, run)
    return found


def _judged(
    name: str, e: blocks.Estimate, conditions: dict[str, float | str], run: Run, known: bool
) -> Measurement:
    """A relative error of a peak; without errors of the reference it decides nothing."""
    if known:
        return _measured(name, e, "%", conditions, run, BOTH)
    return Measurement(
        name=name,
        value=None,
        unit="%",
        conditions=conditions,
        method=BOTH,
        note=f"{e.value:+.3g} % from a reference that states no errors: give it a column of errors",
    )


def _measured(
    name: str, e: blocks.Estimate, unit: str, conditions: dict[str, float | str], run: Run, method: str
) -> Measurement:
    return Measurement(
        name=name,
        value=e.value,
        unit=unit,
        stderr=e.stderr,
        n_eff=e.n_eff,
        conditions=conditions,
        evidence=run.evidence,
        method=method,
    )


def _difference(c: Compared, d: rdf.Difference, run: Run) -> list[Measurement]:
    conditions = {**run.conditions, "pair": c.name}
    floor = "" if d.floor is None else f"the noise floor is {100 * d.floor:.3g} %"
    e = blocks.Estimate(100 * d.value, None if d.stderr is None else 100 * d.stderr, d.n_eff)
    how = "integral of |g - g_ref| over that of g_ref; error with the signs held"
    found = [_measured("rdf_difference", e, "%", conditions, run, how).model_copy(update={"note": floor})]
    if d.floor is not None:
        found.append(
            Measurement(
                name="rdf_noise_floor",
                value=100 * d.floor,
                unit="%",
                exact=True,
                conditions=conditions,
                method="expected difference of a run of this length from its own mean, half of that between "
                "two halves; the reference's errors added in squares",
            )
        )
    return found


def coordination(every: list[Compared], run: Run) -> list[Measurement]:
    """Neighbours up to the first minimum."""
    return [
        _measured(
            "coordination",
            c.neighbours,
            "1",
            {**run.conditions, "pair": c.name},
            run,
            "mean number of neighbours; error: blocks of the run",
        ).model_copy(
            update={
                "note": f"up to the first minimum, {c.shell_A:.3g} A"
                + ("" if c.reference is None else " of the reference")
            }
        )
        for c in every
        if c.neighbours is not None
    ]
