"""Units inside mlipbench: eV, A, fs, e, K, u. Constants are CODATA 2018.

Velocities are A/fs, momenta u A/fs, forces eV/A, stresses eV/A^3 (positive when the cell is under
tension, as in ASE).
"""

from __future__ import annotations

from typing import Final

BOLTZMANN: Final = 8.617333262e-5  # eV/K
ELEMENTARY_CHARGE_C: Final = 1.602176634e-19  # C, exact
ATOMIC_MASS_KG: Final = 1.66053906660e-27  # kg
COULOMB: Final = 14.3996454  # e^2 / (4 pi eps0), eV A

# 1 u (A/fs)^2 in eV: kinetic energies; its inverse turns eV/A/u into A/fs^2.
MASS_VELOCITY_SQUARED: Final = ATOMIC_MASS_KG * 1e10 / ELEMENTARY_CHARGE_C  # 103.6427
ACCELERATION: Final = 1.0 / MASS_VELOCITY_SQUARED

EV_PER_A3_IN_GPA: Final = 160.21766208
HARTREE: Final = 27.211386245988  # eV
BOHR: Final = 0.529177210903  # A
