"""debug.log is read as it stands, whole or half written, and drawn by `mlipbench losses`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from mlipbench.cli.app import app
from mlipbench.core.errors import InputError, MlipbenchError, StoreError
from mlipbench.training.debug_log import breakdown_figure, read_breakdown
from mlipbench.training.journal import Journal

GOOD = "DEBUG: epoch 3 batch 12: loss breakdown: forces: 7.4e-06, energy_per_atom: 1.2e-04\n"


def log(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "debug.log"
    path.write_text(text)
    return path


def training(folder: Path, epochs: int = 4, batches: int = 5, members: int = 1) -> Path:
    """Logs as the loop writes them; the loss falls by half each epoch, forces are 3/4 of it."""
    for member in range(members):
        journal = Journal(folder / f"member-{member}")
        for epoch in range(epochs):
            for batch in range(batches):
                journal.losses(
                    epoch, batch, {"forces": 0.75 * 0.5**epoch, "energy_per_atom": 0.25 * 0.5**epoch}
                )
    return folder


def test_what_the_loop_writes_is_read_to_the_last_bit(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    value = 0.1 + 0.2
    journal.losses(0, 0, {"forces": value, "stress": 1e-300})
    assert read_breakdown(tmp_path / "debug.log").batches == {(0, 0): {"forces": value, "stress": 1e-300}}


def test_terms_of_a_line(tmp_path: Path) -> None:
    found = read_breakdown(log(tmp_path, GOOD))
    assert found.batches == {(3, 12): {"forces": 7.4e-06, "energy_per_atom": 1.2e-04}}
    assert found.terms == ["forces", "energy_per_atom"]
    assert found.malformed == 0


@pytest.mark.parametrize("cut", range(1, len(GOOD)))
def test_last_line_cut_anywhere_is_left_out(cut: int, tmp_path: Path) -> None:
    """A number cut short would still be one: 1.2e-04 and 1.2 differ by four orders of magnitude."""
    found = read_breakdown(log(tmp_path, GOOD + GOOD.replace("12:", "13:")[:cut]))
    assert list(found.batches) == [(3, 12)]
    assert found.malformed == 0


@pytest.mark.parametrize(
    "line",
    [
        "DEBUG: epoch 3 batch 13: loss breakdown: ",
        "DEBUG: epoch 3 batch 13: loss breakdown: forces 7.4e-06",
        "DEBUG: epoch 3 batch 13: loss breakdown: forces: seven",
        "DEBUG: epoch 3 batch 13: loss breakdown: forces: 7.4e-06,",
        "DEBUG: epoch three batch 13: loss breakdown: forces: 7.4e-06",
        "DEBUG: epoch 3 batch 13: loss breakdown: forces: 7.4eDEBUG: " + GOOD.strip(),
        "\x00\x00 loss breakdown \x00",
    ],
)
def test_malformed_lines_are_counted_and_passed_over(line: str, tmp_path: Path) -> None:
    found = read_breakdown(log(tmp_path, f"{GOOD}{line}\n{GOOD.replace('batch 12', 'batch 15')}"))
    assert {(3, 12), (3, 15)} <= set(found.batches)
    assert (3, 13) not in found.batches
    assert found.malformed == 1


def test_other_lines_are_no_matter(tmp_path: Path) -> None:
    found = read_breakdown(log(tmp_path, f"INFO: something else\n\n2026-11-25 20:00:00 {GOOD}"))
    assert (len(found.batches), found.malformed) == (1, 0)


def test_batch_that_was_done_twice_counts_once(tmp_path: Path) -> None:
    again = GOOD.replace("7.4e-06", "5e-06")
    assert read_breakdown(log(tmp_path, GOOD + again)).batches[3, 12]["forces"] == 5e-06


def test_loss_that_is_no_number_leaves_a_gap(tmp_path: Path) -> None:
    found = read_breakdown(
        log(tmp_path, GOOD + GOOD.replace("7.4e-06", "nan").replace("batch 12", "batch 13"))
    )
    panel = breakdown_figure({"member-0": found}).panels[0]
    forces = next(s for s in panel.series if s.label == "forces")
    total = next(s for s in panel.series if s.label == "sum")
    assert forces.y == [7.4e-06, None]
    assert total.y == [pytest.approx(1.274e-4), None]


def test_abscissa_and_sum(tmp_path: Path) -> None:
    """Oracle: five batches an epoch lie 1/5 apart; terms add up to 0.5**epoch."""
    found = read_breakdown(training(tmp_path) / "member-0" / "debug.log")
    panel = breakdown_figure({"member-0": found, "member-1": found.between(9, None)}).panels
    assert len(panel) == 1
    total = panel[0].series[-1]
    np.testing.assert_allclose(np.array(total.x, dtype=float), np.arange(20) / 5, atol=1e-12)
    np.testing.assert_allclose(np.array(total.y, dtype=float), 0.5 ** np.repeat(np.arange(4), 5))


def run(*arguments: str) -> str:
    """Standard output of `mlipbench losses`; its errors are raised."""
    result = CliRunner().invoke(app, ["losses", *arguments])
    if isinstance(result.exception, MlipbenchError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_command(tmp_path: Path) -> None:
    training(tmp_path, members=11)
    told = run(str(tmp_path), "--min-epoch", "1", "--max-epoch", "2")
    assert "member-0: 10 batches, epochs 1 to 2; of epoch 2: forces 75 %, energy per atom 25 %" in told
    assert told.index("member-2:") < told.index("member-10:")
    image = imread(io.BytesIO((tmp_path / "losses.png").read_bytes()))
    assert image.shape[1] == 3 * 676  # three panels beside each other
    assert "losses.png" in told


def test_command_while_the_training_is_going_on(tmp_path: Path) -> None:
    path = training(tmp_path) / "member-0" / "debug.log"
    with open(path, "a") as file:
        file.write(GOOD[:40])
    (tmp_path / "member-1").mkdir()
    log(tmp_path / "member-1", "")
    told = run(str(tmp_path), "--output", str(tmp_path / "now" / "x.png"))
    assert "member-0: 20 batches, epochs 0 to 3" in told
    assert "member-1: no batches between these epochs" in told
    assert (tmp_path / "now" / "x.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--output", "x.pdf"], InputError, r"ends in \.png"),
        (["--min-epoch", "3", "--max-epoch", "2"], InputError, "above"),
        (["--min-epoch", "7"], StoreError, "hold epochs 0 to 3"),
    ],
)
def test_command_refuses(arguments: list[str], error: type[Exception], message: str, tmp_path: Path) -> None:
    training(tmp_path)
    with pytest.raises(error, match=message):
        run(str(tmp_path), *arguments)
    assert not (tmp_path / "losses.png").exists()


def test_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no member-0/debug\.log"):
        run(str(tmp_path))
    with pytest.raises(StoreError, match="cannot be read"):
        read_breakdown(tmp_path / "debug.log")
