"""The page of a training: structure, words, files, for five kinds of records."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
import records
from test_report_html import Page

from mlipbench.core import literature
from mlipbench.core.errors import StoreError
from mlipbench.report.training import write_training_report
from mlipbench.store import layout


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("trainings")
    found = {kind: records.build(kind, root / kind) for kind in records.KINDS}
    for folder in found.values():
        write_training_report(folder)
    return found


def page_of(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())


@pytest.fixture(params=records.KINDS)
def page(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Page:
    return page_of(folders[request.param])


# ---------------------------------------------------------------- structure
def test_ids_are_unique_and_inner_links_arrive(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs.get("href") or "" for _, attrs in page.tags]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


def test_nothing_is_fetched_and_nothing_runs(page: Page) -> None:
    for tag, attrs in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed"}
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("href", "src", "srcset", "xlink:href", "action"):
            value = attrs.get(name) or "#"
            followed = tag == "a" and value.startswith("https://doi.org/10.")
            assert followed or value.startswith(("#", "data:text/csv", "data:text/plain")), value


def test_headings_tables_pictures(page: Page) -> None:
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert len(page.all("caption")) == len(page.all("table")) > 0
    assert all(attrs.get("scope") in {"col", "row", "rowgroup"} for attrs in page.all("th"))
    for attrs in page.all("svg"):
        assert attrs.get("aria-hidden") == "true" or str(attrs["aria-labelledby"]).split()[0] in page.titles
    assert len(page.all("main")) == len(page.all("nav")) == 1


@pytest.mark.parametrize("kind", ["committee", "diverged"])
def test_same_record_same_bytes(folders: dict[str, Path], kind: str, tmp_path: Path) -> None:
    again = records.build(kind, tmp_path)
    write_training_report(again)
    for name in ("report.html", "methods.txt", "citations.bib", "learning_curve.png"):
        assert (again / name).read_bytes() == (folders[kind] / name).read_bytes(), name


# ---------------------------------------------------------------- words
def test_first_screen_of_a_sound_training(folders: dict[str, Path]) -> None:
    first = page_of(folders["sound"]).words.split("Curves Loss")[0]
    for words in (
        "Training of silicon",
        "silicon.mlip 3fa2c1d09b7e",
        "PBE, 40 Ry",
        "100 training, 20 validation, 40 test",
        "one network, 81234 parameters",
        "Finished Mean absolute errors on 40 test frames: energy 0.65 ± 0.05 meV/atom, forces 26.0 ± 0.8 "
        "meV/Å, stress 0.13 meV/Å³.",
        "whether the potential may be used is for mlipbench run to say",
        "Energy 0.65 ± 0.05 meV/atom 0.845 meV/atom 1.9 % < 1 meV/atom Inside",
        "Forces 26.0 ± 0.8 meV/Å 36.4 meV/Å 2.6 % < 50 meV/Å Inside",
        "None of the usual failures",
    ):
        assert words in first, words


def test_first_screen_of_an_ailing_training(folders: dict[str, Path]) -> None:
    page = page_of(folders["ailing"])
    for words in (
        "Finished, with remarks",
        "12 frames have no stress",
        "Energy 9.0 ± 0.7 meV/atom 11.7 meV/atom 26 % < 1 meV/atom Outside",
        "Warning The validation loss rises while the training loss falls",
        "Remedy: More training frames",
        "weight_decay: 5e-06 in place of 5 × 10⁻⁷",  # what is to be copied stays as the file wants it
        "energy_per_atom: 10 in place of 1 in stage 1 of train_schedule",
        "Note Should the energy drift in NVE runs",
        "3 frames of train.extxyz are duplicates",
        "unverified the data: their level of theory is not stated",
    ):
        assert words in page.words, words
    order = [
        page.words.index(w) for w in ("The validation loss rises", "Energies are poor", "Should the energy")
    ]
    assert order == sorted(order)


def test_committee_and_unfinished_and_diverged(folders: dict[str, Path]) -> None:
    committee = page_of(folders["committee"]).words
    assert "committee of 4, 81234 parameters each" in committee
    assert "Lines are medians over the 4 members" in committee
    unfinished = page_of(folders["unfinished"]).words
    for words in (
        "Not finished There is no potential yet",
        "committee of 4, 2 begun",
        "Run the same mlipbench train command again",
        "Member 1 of 2: 17 epochs are done.",
    ):
        assert words in unfinished, words
    assert "Errors by kind of frame" not in unfinished
    diverged = page_of(folders["diverged"]).words
    assert "Failed The loss stopped being a number: there is no potential." in diverged
    assert "the loss is nan, the norm of its gradient inf; frames train.extxyz#41" in diverged
    assert "Error Atoms are closer than 0.5 Å. nan.short_bond 0.31 Å between Si and Si" in diverged


def test_errors_outside_the_limits_are_no_success(tmp_path: Path) -> None:
    """Nothing to diagnose, and yet errors that the checklist would not take."""
    table = records.rows(*(records.errors(45.0, n, energy=3.0) for n in (100, 20, 40)))
    parts = [
        records.part(p, n, energy_spread=200.0) for p, n in (("train", 100), ("valid", 20), ("test", 40))
    ]
    write(tmp_path, records.record([records.member(forces=44)], rows=table, parts=parts))
    words = page_of(tmp_path).words
    assert "Finished, with large errors" in words
    assert "3.00 ± 0.24 meV/atom 3.9 meV/atom 2 % < 1 meV/atom Outside" in words


def test_error_bar_across_the_limit(tmp_path: Path) -> None:
    table = records.rows(*(records.errors(24.0, n, energy=0.95) for n in (100, 20, 40)))
    write(tmp_path, records.record(rows=table))
    assert "< 1 meV/atom Too close to tell" in page_of(tmp_path).words


def write(folder: Path, record: records.TrainingRecord) -> None:
    layout.write_json(folder / layout.TRAINING, record.model_dump(mode="json"))
    write_training_report(folder)


def test_table_of_errors_and_data(folders: dict[str, Path]) -> None:
    words = page_of(folders["sound"]).words
    errors = words[words.index("Errors of the finished potential") :]
    assert errors.index("Test all 40") < errors.index("Validation all 20") < errors.index("Training all 100")
    assert "bulk_300K 20 0.455 0.592 18.2 25.5" in errors
    assert "Training train.extxyz 100 10 Si 6400 energy, forces, stress 45 meV/atom 1400 meV/Å" in words
    assert "10 % of the trajectories of train.extxyz" in words
    assert "Si −103.1 eV" in words
    assert "hidden_irreps 32x0e + 32x1o" in words
    assert "test.extxyz#" in words


def test_configuration_is_yaml_that_reads_back(folders: dict[str, Path]) -> None:
    from ruamel.yaml import YAML

    html = (folders["ailing"] / "report.html").read_text()
    text = re.search(r'aria-label="The configuration, defaults filled in">(.*?)</pre>', html, re.DOTALL)
    assert text is not None
    read = YAML(typ="safe").load(text[1].replace("&#34;", '"').replace("&#39;", "'"))
    assert read == layout.read_json(folders["ailing"] / layout.TRAINING)["config"]


# ---------------------------------------------------------------- methods
def test_methods(folders: dict[str, Path]) -> None:
    text = (folders["committee"] / "methods.txt").read_text()
    for words in (
        "equivariant message-passing network of the MACE type [1]",
        "features 32x0e + 32x1o, spherical harmonics up to l = 2, 8 Bessel functions [3] with a polynomial "
        "cutoff of order 6 at 5.0 Å",
        "4 such networks with different seeds form a committee [4]",
        "trained by mlipbench 0.1.0 [5], built on PyTorch 2.13.0 [6] and e3nn 0.6.0 [7]",
        "PBE, 40 Ry [8]",
        "100 training frames, 20 validation frames and 40 test frames",
        "Weights were 1 (energy), 100 (forces), 1 (stress)",
        "The learning rate of 0.01 was multiplied by 0.8",
        "clipped at a norm of 10",
        "exponential moving average of the weights with decay 0.99",
        "0.65 ± 0.05 meV/atom in energies, 26.0 ± 0.8 meV/Å in force components",
        "arXiv.2206.07697",
        "10.1063/5.0016004",
    ):
        assert words in text, words
    digest = hashlib.sha256((folders["committee"] / layout.TRAINING).read_bytes()).hexdigest()
    assert f"training.json (sha256 {digest})" in text
    assert f'<code class="hash">{digest}</code>' in (folders["committee"] / "report.html").read_text()
    assert "?" not in text
    assert "@article{batatia2022," in (folders["committee"] / "citations.bib").read_text()


@pytest.mark.parametrize(
    ("config", "architecture", "words", "work"),
    [
        ({"scheduler": "cosine"}, {}, "half a cosine [", literature.COSINE),
        ({"loss": "huber"}, {}, "Huber functions [", literature.HUBER),
        ({}, {"zbl": True}, "repulsion of nuclei [", literature.REPULSION),
        ({"amsgrad": True}, {}, "AMSGrad variant [", literature.AMSGRAD),
    ],
)
def test_methods_cite_what_was_used(
    config: dict, architecture: dict, words: str, work: literature.Citation, tmp_path: Path
) -> None:
    write(tmp_path / "with", records.record(config=config, architecture=architecture))
    text, bib = ((tmp_path / "with" / name).read_text() for name in ("methods.txt", "citations.bib"))
    assert words in text
    assert f"{{{work.key}," in bib
    write(tmp_path / "without", records.record(config={"amsgrad": False}))
    assert f"{{{work.key}," not in (tmp_path / "without" / "citations.bib").read_text()


def test_methods_tell_the_stages(folders: dict[str, Path]) -> None:
    text = (folders["ailing"] / "methods.txt").read_text()
    assert (
        "2 stages: “forces first” from epoch 0 to 39 with learning rate 0.01 and weights 100 (forces)" in text
    )
    assert (
        "“1” from epoch 40 to 159 with learning rate 0.001 and weights 100 (forces), 1 (energy per atom)"
        in text
    )


# ---------------------------------------------------------------- files
def test_data_of_figures_are_in_the_page_and_beside_it(folders: dict[str, Path]) -> None:
    page = page_of(folders["sound"])
    links = {str(a["download"]): str(a["href"]) for a in page.all("a") if "download" in a}
    written = {path.name for path in (folders["sound"] / "figures").iterdir()}
    assert written == {name for name in links if name.endswith(".csv")}
    assert {"learning-curve-1.csv", "errors-by-epoch-2.csv", "steps-1.csv"} <= written
    rows = unquote(links["learning-curve-1.csv"].split(",", 1)[1]).splitlines()
    assert rows[0] == "series,kind,role,epoch,loss"
    assert rows == (folders["sound"] / "figures" / "learning-curve-1.csv").read_text().splitlines()
    assert (folders["sound"] / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_data_of_a_figure_that_is_gone_is_removed(tmp_path: Path) -> None:
    records.build("sound", tmp_path)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.csv").write_text("x")
    write_training_report(tmp_path)
    assert not (tmp_path / "figures" / "old.csv").exists()


def test_page_that_would_be_too_large_is_drawn_more_coarsely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of 200 kB stands in for 5 MB: the sound page has 320 kB; figures are left out by name."""
    records.build("sound", tmp_path)
    monkeypatch.setattr("mlipbench.report.training.LARGEST", 200_000)
    write_training_report(tmp_path)
    assert (tmp_path / "report.html").stat().st_size <= 200_000
    words = page_of(tmp_path).words
    assert "Shortened:" in words
    assert "Left out here" in words
    assert len(list((tmp_path / "figures").iterdir())) == 13


def test_folder_without_a_record(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"training\.json: not found"):
        write_training_report(tmp_path)
    (tmp_path / "training.json").write_text('{"name": 3}')
    with pytest.raises(StoreError, match="damaged"):
        write_training_report(tmp_path)
    layout.write_json(tmp_path / "training.json", {"name": 3})
    with pytest.raises(StoreError, match="not a record"):
        write_training_report(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["training.json"]


def test_renders_without_simulation_packages(tmp_path: Path) -> None:
    records.build("ailing", tmp_path)
    script = f"""
import importlib.abc, sys
from pathlib import Path

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"torch", "e3nn", "ase", "phonopy", "MDAnalysis", "vesin", "h5py"}}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
from mlipbench.report.training import write_training_report
write_training_report(Path({str(tmp_path)!r}))
assert "matplotlib.pyplot" not in sys.modules
assert not [name for name in sys.modules if name.startswith("mlipbench.training")]
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").is_file()
