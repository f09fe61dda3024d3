"""How Quantum ESPRESSO is called: kernels that the processor lacks end in an illegal instruction, those of an
old processor take twice the time."""

import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk

from reference_data import espresso

OUTPUT = Path(__file__).with_name(
    "espresso_si2.out"
)  # of pw.x 6.7: two atoms moved out of diamond, Gamma, 12 Ry


@pytest.mark.parametrize(
    ("flags", "kernels"),
    [
        ("fpu sse2 avx avx2 fma avx512f avx512vl", "SkylakeX"),
        ("fpu sse2 avx avx2 fma avx512f avx512er", "Haswell"),  # Knights Landing has no avx512vl
        ("fpu sse2 avx avx2 fma", "Haswell"),
        ("fpu sse2 avx", None),  # OpenBLAS knows it
    ],
)
def test_kernels_are_those_that_the_processor_can_run(tmp_path, monkeypatch, flags, kernels):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    found = espresso.environment(cpuinfo)
    assert found.get("OPENBLAS_CORETYPE") == kernels
    assert found["OPENBLAS_NUM_THREADS"] == found["OMP_NUM_THREADS"] == "1"


def test_a_choice_made_outside_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : avx2 avx512vl\n")
    assert espresso.environment(cpuinfo)["OPENBLAS_CORETYPE"] == "Zen"


def test_without_cpuinfo_openblas_chooses(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    assert "OPENBLAS_CORETYPE" not in espresso.environment(tmp_path / "absent")


def fake_pw(folder: Path, monkeypatch, text: str) -> None:
    """A pw.x in the PATH that says `text`."""
    program = folder / "bin" / "pw.x"
    program.parent.mkdir()
    (folder / "said").write_text(text)
    program.write_text(f"#!/bin/sh\necho $0 $* >> {folder / 'called'}\ncat {folder / 'said'}\n")
    program.chmod(0o755)
    (program.parent / "mpirun").symlink_to(program)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def silicon() -> tuple[Atoms, espresso.Job]:
    atoms = bulk("Si", a=5.4)
    atoms.positions[1] += [0.1, 0.05, -0.02]
    system = {"ecutwfc": 12.0, "occupations": "smearing", "smearing": "gaussian", "degauss": 0.05, "nbnd": 6}
    mixing = {"mixing_beta": 0.7, "mixing_mode": "TF"}
    return atoms, espresso.Job(system, espresso.GAMMA, 1e-6, {"Si": "Si.pbe-rrkj.UPF"}, mixing)


def test_an_answer_is_what_pw_printed(tmp_path, monkeypatch):
    """Read by eye: "!", not the energy of a cycle before it; the last accuracy; -TS; the whole force, not one
    of its parts; stress with the sign of ASE."""
    fake_pw(tmp_path, monkeypatch, OUTPUT.read_text())
    atoms, job = silicon()
    answer = espresso.answer(atoms, tmp_path / "work", job)
    assert answer.energy == pytest.approx(-14.44812703 * units.Ry)
    assert answer.iterations == 7
    assert answer.accuracy == pytest.approx(2.5e-7 * units.Ry)
    assert answer.smearing == pytest.approx(-0.02195890 * units.Ry)
    force = np.array([0.07500752, 0.04273393, -0.03081995]) * units.Ry / units.Bohr
    np.testing.assert_allclose(answer.forces, [force, -force], rtol=1e-6)
    printed = [0.00302488, 0.00298154, 0.00296942, -0.00019070, -0.00009755, 0.00005845]  # xx yy zz yz xz xy
    stress = -np.array(printed) * units.Ry / units.Bohr**3
    np.testing.assert_allclose(answer.stress, stress, rtol=1e-6)
    text = (tmp_path / "work" / "pw.in").read_text()
    assert "mixing_mode      = 'TF'" in text
    assert "conv_thr         = 1e-06" in text


def test_what_did_not_converge_is_no_answer(tmp_path, monkeypatch):
    fake_pw(tmp_path, monkeypatch, OUTPUT.read_text().replace(espresso.CONVERGED, "convergence NOT achieved"))
    with pytest.raises(RuntimeError, match="work: the SCF cycle did not converge"):
        espresso.answer(silicon()[0], tmp_path / "work", silicon()[1])


def test_k_points_are_shared_among_processes(tmp_path, monkeypatch):
    """As many processes as pools: with fewer pools each would hold a part of every wave function."""
    fake_pw(tmp_path, monkeypatch, OUTPUT.read_text())
    atoms, job = silicon()
    for pools in (1, 2):
        espresso.answer(atoms, tmp_path / "work", job, pools)
    alone, shared = (tmp_path / "called").read_text().splitlines()
    assert alone.endswith("bin/pw.x -nk 1 -in pw.in")
    assert shared.endswith("bin/mpirun -np 2 pw.x -nk 2 -in pw.in")


def test_a_program_that_fails_says_where_the_reason_is(tmp_path, monkeypatch):
    fake_pw(tmp_path, monkeypatch, OUTPUT.read_text())
    (tmp_path / "said").unlink()
    with pytest.raises(RuntimeError, match=r"pw\.out says why mpirun -np 2 pw\.x ended with 1"):
        espresso.answer(silicon()[0], tmp_path / "work", silicon()[1], 2)
