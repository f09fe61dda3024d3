"""The water references: what stoichiometry and an independent count say of the curves, the split, `water`."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from mlipbench.analysis import peaks, rdf
from mlipbench.core.errors import InputError
from mlipbench.core.shipped import reference_data, suite_files
from mlipbench.data import public
from mlipbench.data.parts import read_parts
from mlipbench.data.references import Manifest
from mlipbench.potentials import embedded
from mlipbench.run.context import declared_trajectories
from mlipbench.run.inputs import PlanInputs
from mlipbench.run.planning import read_plan
from mlipbench.training.config import find_config, load_config

FOLDER = reference_data() / "water"
PUBLIC = Path(__file__).parents[3] / "shared" / "data"
needs_public = pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"no public sets in {PUBLIC}")
VOLUME = 12.44466114**3


@pytest.fixture(scope="module")
def manifest():
    return Manifest.load(reference_data())


@pytest.fixture
def fetched(monkeypatch):
    monkeypatch.setenv(public.FOLDER_VARIABLE, str(PUBLIC))


@pytest.mark.parametrize(("pair", "partners", "expected"), [("OH", 128, 2.0), ("HH", 127, 1.0)])
def test_every_molecule_has_its_hydrogen_atoms(manifest, pair, partners, expected):
    """The first peak integrates to 2 hydrogen atoms an oxygen, 1 other a hydrogen; neighbouring molecules
    reach into the H-H minimum, by 0.3 %. A wrong volume, bin or normalisation is off by more."""
    curve = manifest.curve(f"water_pbe0ts_g{pair}")
    edges = rdf.edges_about(curve.abscissa)
    left, _, right = peaks.find(curve.value, curve.error)[0]
    shells = partners / VOLUME * rdf.shell_volumes(edges)
    assert curve.value[: right + 1] @ shells[: right + 1] == pytest.approx(expected, rel=0.005)
    assert not curve.value[:left].any()


def test_curves_have_errors_and_state_what_a_run_is_compared_by(manifest):
    """The first O-O peak of a classical hybrid functional lies higher and nearer than the experiment's."""
    for pair in ("OO", "OH", "HH"):
        curve = manifest.curve(f"water_pbe0ts_g{pair}")
        assert (curve.temperature_K, curve.level_of_theory) == (330.0, "PBE0+TS")
        assert np.all((curve.error > 0) == (curve.value > 0))
    curve, measured = manifest.curve("water_pbe0ts_gOO"), manifest.curve("water_experiment_gOO")
    left, _, right = peaks.find(curve.value, curve.error)[0]
    first = peaks.fit(curve.abscissa, curve.value, left, right)
    assert first.position < measured.abscissa[0]
    assert first.height > measured.value[0]


def test_the_split_holds_out_contiguous_stretches():
    members = read_parts(FOLDER / "water_pbe0ts_parts.csv")
    assert sorted(m.frame for m in members) == list(range(400))
    parts = [m.part for m in members]
    assert {p: parts.count(p) for p in set(parts)} == {"train": 328, "valid": 20, "test": 40, "gap": 12}
    for part in ("test", "valid"):
        places = [k for k, p in enumerate(parts) if p == part]
        for k in places:
            assert set(parts[max(k - 2, 0) : k + 3]) <= {part, "gap"}
    assert len({m.trajectory for m in members}) == 40


@needs_public
def test_curves_are_those_of_the_frames(manifest, fetched):
    """All pairs of every eighth frame, nearest images by hand. Were frames independent, such a sample would
    lie 2.6 errors of the curve away. A wrong pair, bin or volume is off by tens of errors near the peaks."""
    frames = manifest.frames("water_pbe0ts", "::8")
    numbers, box = frames[0].structure.numbers, np.diag(frames[0].structure.cell)
    upper = np.triu_indices(len(numbers), 1)
    kinds = {"OO": 16, "OH": 9, "HH": 2}
    z = numbers[upper[0]] + numbers[upper[1]]
    distances = []
    for frame in frames:
        d = frame.structure.positions[upper[0]] - frame.structure.positions[upper[1]]
        distances.append(np.linalg.norm(d - box * np.round(d / box), axis=1))
    for pair, kind in kinds.items():
        curve = manifest.curve(f"water_pbe0ts_g{pair}")
        edges = rdf.edges_about(curve.abscissa)
        counts = sum(np.histogram(d[z == kind], edges)[0] for d in distances)
        g = counts / len(frames) / (z == kind).sum() * VOLUME / rdf.shell_volumes(edges)
        known = curve.error > 0
        away = (g - curve.value)[known] / curve.error[known]
        assert np.sqrt((away**2).mean()) < 4


@needs_public
def test_provenance_names_the_set(manifest, fetched):
    noted = json.loads((FOLDER / "provenance.json").read_text())
    assert noted["sha256"] == manifest.verify("water_pbe0ts").sha256
    assert noted["licence"] == manifest.entry("water_pbe0ts").licence
    value, error = noted["temperature_from_forces_K"]
    assert abs(value - 330) < 3 * error < 10


def test_the_start_is_64_molecules_at_the_density_of_the_set(manifest):
    start = manifest.frames("water_start")[0].structure
    assert start.numbers.tolist() == [8, 1, 1] * 64
    assert start.volume == pytest.approx(VOLUME, rel=1e-4)
    molecules = start.positions.reshape(64, 3, 3)
    bonds = np.linalg.norm(molecules[:, 1:] - molecules[:, :1], axis=2)
    assert 0.9 < bonds.min() < bonds.max() < 1.15
    around = neighbor_list("d", start.to_ase(), {("O", "H"): 2.4})
    hydrogen_bonds = around[around > 1.2]
    assert hydrogen_bonds.min() > 1.4
    assert 3.0 < len(hydrogen_bonds) / 64 < 8.0  # directed pairs, two a bond: 3.5 bonds a molecule in water


def test_a_potential_that_is_not_trained_yet_says_how(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"references fetch water_pbe0ts` and then `mlipbench train water`"):
        embedded.water()
    (tmp_path / "water").mkdir()
    (tmp_path / "water" / "water.mlip").write_bytes(b"")
    monkeypatch.setattr(embedded, "embedded", lambda path: path.resolve())
    assert embedded.water() == tmp_path / "water" / "water.mlip"


def test_the_training_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "water").mkdir()  # where an earlier training lies
    assert find_config("water").parts[-3:] == ("suites", "training", "water.yaml")
    with pytest.raises(InputError, match=r"nor the name of one that comes with mlipbench \(water\)"):
        find_config("wine")


@needs_public
def test_the_suite_file_and_its_training_go_together(fetched):
    """The dynamics of the checklist, each run once: what one suite has run, others share."""
    plan = read_plan(suite_files()["water"], None)
    config = load_config(find_config("water")).config
    assert config.level_of_theory == plan.params("rdf").level_of_theory == "PBE0+TS"
    tested, trained = plan.params("parity").frames, config.train_file
    assert (tested.reference, trained.reference) == ("water_pbe0ts", "water_pbe0ts")
    assert not set(tested.config_types) & {*trained.config_types, *config.valid_file.config_types}
    inputs = PlanInputs(plan, Manifest.load(reference_data()))
    steps, seen = {}, {}
    for key in ("nve", "stability", "rdf", "vdos", "dynamics", "density"):
        wanted = {spec.key("0"): spec for spec in declared_trajectories(plan, key, inputs).values()}
        assert all(seen.get(name, spec.n_steps) >= spec.n_steps for name, spec in wanted.items())
        steps[key] = sum(spec.n_steps for name, spec in wanted.items() if name not in seen)
        seen |= {name: spec.n_steps for name, spec in wanted.items()}
    nve = 3 * (100_000 + 10_000 + 4_000)
    shared = {"rdf": 0, "vdos": 0}
    assert steps == {"nve": nve, "stability": 400_000, "dynamics": 200_000, "density": 120_000} | shared
