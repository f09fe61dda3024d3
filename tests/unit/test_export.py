"""Exported trajectories, read back by MDAnalysis and ASE."""

from __future__ import annotations

import warnings

import ase.io
import h5py
import numpy as np
import pytest
from ase.units import fs

from mlipbench.core.errors import InputError
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import Trajectory
from mlipbench.store.export import write_extxyz, write_h5md

N_ATOMS, N_FRAMES = 5, 4


def trajectory(pbc=(True, True, True), n_frames=N_FRAMES):
    random = np.random.default_rng(1)
    cell = np.array([[8.0, 0, 0], [1.0, 9.0, 0], [-2.0, 0.5, 7.0]]) * np.array(pbc)[:, None]
    positions = random.normal(0, 8, (n_frames, N_ATOMS, 3))
    structure = Structure(
        np.array([8, 1, 1, 14, 18]),
        random.normal(0, 8, (N_ATOMS, 3)),
        cell,
        np.array(pbc),
        np.array([16.0, 1.0, 2.0, 28.0, 40.0]),
    )
    samples = np.arange(6.0)
    return Trajectory(
        structure=structure,
        timestep_fs=0.5,
        n_steps=50,
        event=None,
        steps=np.arange(6) * 10,
        potential_energy=-samples,
        kinetic_energy=samples,
        conserved=0 * samples,
        temperature=100 * samples,
        closest_contact=1 + samples,
        momentum=samples[:, None] * np.ones(3),
        angular_momentum=samples[:, None] * np.ones(3),
        frame_steps=np.arange(n_frames) * 12,
        positions=positions,
        velocities=random.normal(0, 0.01, (n_frames, N_ATOMS, 3)),
        cells=np.array([cell * (1 + 0.01 * i) for i in range(n_frames)]).reshape(-1, 3, 3),
    )


def test_mdanalysis_reads_h5md(tmp_path):
    """Oracle: MDAnalysis, which knows A, ps and A/ps: a wrong unit string is a factor of 1000."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import MDAnalysis
        from MDAnalysis.lib.mdamath import triclinic_vectors

        made = trajectory()
        write_h5md(made, tmp_path / "run.h5")
        universe = MDAnalysis.Universe.empty(N_ATOMS)
        universe.load_new(str(tmp_path / "run.h5"), format="H5MD")
        assert universe.trajectory.n_frames == N_FRAMES
        for i, step in enumerate(universe.trajectory):
            assert np.allclose(step.positions, made.positions[i], atol=1e-5)
            assert np.allclose(step.velocities, 1000 * made.velocities[i], atol=1e-4)
            assert step.time == pytest.approx(made.frame_steps[i] * 0.5 / 1000)
            assert step.data["step"] == made.frame_steps[i]
            # MDAnalysis keeps lengths and angles: compare metrics, which do not change with orientation
            vectors = triclinic_vectors(step.dimensions).astype(float)
            assert np.allclose(vectors @ vectors.T, made.cells[i] @ made.cells[i].T, atol=1e-3)
        universe.trajectory.close()


def test_h5md_holds_what_the_standard_asks(tmp_path):
    made = trajectory()
    write_h5md(made, tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5") as file:
        assert list(file["h5md"].attrs["version"]) == [1, 1]
        group = file["particles/trajectory"]
        assert list(group["box"].attrs["boundary"]) == ["periodic"] * 3
        assert np.array_equal(group["species"], made.structure.numbers)
        assert np.array_equal(group["position/value"], made.positions)
        assert group["velocity/value"].attrs["unit"] == "Angstrom fs-1"
        temperature = file["parameters/monitors/temperature"]
        assert np.array_equal(temperature["value"], made.temperature)
        assert np.array_equal(temperature["time"], made.time_fs)


def test_a_cluster_has_no_box(tmp_path):
    write_h5md(trajectory(pbc=(False, False, False)), tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5") as file:
        box = file["particles/trajectory/box"]
        assert list(box.attrs["boundary"]) == ["none"] * 3
        assert "edges" not in box


def test_ase_reads_extxyz(tmp_path):
    made = trajectory(pbc=(True, True, False))
    write_extxyz(made, tmp_path / "run.xyz")
    images = ase.io.read(tmp_path / "run.xyz", index=":")
    assert len(images) == N_FRAMES
    for i, atoms in enumerate(images):
        assert np.allclose(atoms.positions, made.positions[i], atol=1e-7)
        assert np.allclose(atoms.cell.array, made.cells[i], atol=1e-7)
        assert list(atoms.pbc) == [True, True, False]
        assert list(atoms.numbers) == [8, 1, 1, 14, 18]
        assert atoms.info["time_fs"] == made.frame_steps[i] * 0.5
        assert np.allclose(atoms.get_velocities() * fs, made.velocities[i], atol=1e-7)


@pytest.mark.parametrize("write", [write_h5md, write_extxyz])
def test_no_frames_no_file(tmp_path, write):
    with pytest.raises(InputError, match="frame_stride above 0"):
        write(trajectory(n_frames=0), tmp_path / "run")
    assert not (tmp_path / "run").exists()
