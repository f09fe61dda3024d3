"""Settings that are known to cost something later."""

from __future__ import annotations

from mlipbench.core.training import Diagnosis, TrainingRecord

_SMOOTH = 6  # num_polynomial_cutoff: a smaller one bends more sharply near the cutoff


def setting_symptoms(record: TrainingRecord) -> list[Diagnosis]:
    """Single precision and a steep cutoff function, which show as a drift of the energy in NVE."""
    dtype = str(record.config.get("dtype", ""))
    power = record.architecture.get("num_polynomial_cutoff")
    evidence, remedy = [], []
    if "32" in dtype:
        evidence.append(f"dtype {dtype}")
        remedy.append("`dtype: float64` for molecular dynamics at constant energy")
    if isinstance(power, int) and power < _SMOOTH:
        evidence.append(f"num_polynomial_cutoff {power}")
        remedy.append(f"`num_polynomial_cutoff: {_SMOOTH}`")
    if not evidence:
        return []
    reach = record.architecture.get("r_max")
    shells = "r_max" + (f" ({reach:g} A)" if isinstance(reach, (int, float)) else "")
    return [
        Diagnosis(
            id="drift",
            level="note",
            what="Should the energy drift in NVE runs (`mlipbench run` measures it), these settings come "
            "first.",
            evidence=f"the configuration says {', '.join(evidence)}",
            remedy=f"{'; '.join(remedy)}; see that {shells} encloses the first two coordination shells.",
        )
    ]
