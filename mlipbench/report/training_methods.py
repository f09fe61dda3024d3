"""How a potential was trained, in the past tense, to be copied into a paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlipbench.core import literature
from mlipbench.core.training import ErrorRow, TrainingRecord
from mlipbench.report import numbers
from mlipbench.report.bibliography import Bibliography
from mlipbench.report.methods import FUNCTIONALS, Methods, functional_mark, joined, own_citation

_WORKS = (
    literature.MACE, literature.ACE, literature.BESSEL_BASIS, literature.E3NN, literature.PYTORCH,
    literature.REPULSION, literature.ADAMW, literature.AMSGRAD, literature.COSINE, literature.CLIPPING,
    literature.AVERAGING, literature.HUBER, literature.COMMITTEE,
)  # fmt: skip
_PARTS = {"train": "training", "valid": "validation", "test": "test"}


def training_methods(record: TrainingRecord, record_sha256: str) -> tuple[Methods, Bibliography]:
    """Write it; `record_sha256` is that of training.json. The bibliography numbers the works of the text."""
    works = [own_citation(record.provenance), *_WORKS, *FUNCTIONALS.values()]
    bibliography = Bibliography({work.key: work for work in works})
    paragraphs = [
        f"{_network(record)} {_software(record)}",
        _data(record),
        _optimisation(record),
        _outcome(record, record_sha256),
    ]
    paragraphs = [numbers.pretty_text(p).replace("\N{NO-BREAK SPACE}", " ") for p in paragraphs]
    bibliography.add(paragraphs)
    return Methods([bibliography.numbered(p) for p in paragraphs], bibliography.works), bibliography


def _network(record: TrainingRecord) -> str:
    a = record.architecture
    layers, correlation = a.get("num_layers", "?"), a.get("correlation", "?")
    power = joined([str(c) for c in correlation]) if isinstance(correlation, list) else str(correlation)
    text = (
        f"The interatomic potential “{record.name}” is an equivariant message-passing network of the MACE "
        "type [@batatia2022], whose messages are products of atomic densities [@drautz2019] up to power "
        f"{power}. It has {layers} {'layer' if layers == 1 else 'layers'}, features "
        f"{a.get('hidden_irreps', '?')}, spherical harmonics up to l = {a.get('max_ell', '?')}, "
        f"{a.get('num_radial_basis', '?')} Bessel functions [@gasteiger2020] with a polynomial cutoff of "
        f"order {a.get('num_polynomial_cutoff', '?')} at {a.get('r_max', '?')} A, and {record.n_parameters} "
        "parameters"
    )
    committee = record.config.get("committee", 1)
    if committee != 1:
        text += f"; {committee} such networks with different seeds form a committee [@schran2020]"
    if a.get("zbl"):
        text += "; the screened repulsion of nuclei [@ziegler1985] is added at short distances"
    energies = [
        f"{symbol} {numbers.plain_number(energy, 8)} eV"
        for symbol, energy in record.atomic_energies_eV.items()
    ]
    return (
        f"{text}. Energies are counted from those of free atoms ({joined(energies)}; "
        f"{record.atomic_energies_from})."
    )


def _software(record: TrainingRecord) -> str:
    packages: Mapping[str, str] = record.provenance.get("packages", {})
    used = [
        f"{name} {packages[key]} [@{work.key}]"
        for key, name, work in (("torch", "PyTorch", literature.PYTORCH), ("e3nn", "e3nn", literature.E3NN))
        if key in packages
    ]
    built = f", built on {joined(used)}" if used else ""
    return f"It was trained by mlipbench {packages.get('mlipbench', '')} [@mlipbench]{built}.".replace(
        "  ", " "
    )


def _data(record: TrainingRecord) -> str:
    theory = record.level_of_theory or "level of theory not stated"
    parts = [f"{p.n_frames} {_PARTS[p.part]} frames" for p in record.parts]
    sources = list(dict.fromkeys(source for p in record.parts for source in p.sources))
    return (
        f"The data ({theory}{functional_mark(theory)}; {joined(sources)}) were split into {joined(parts)}: "
        f"{record.split.rstrip('.')}."
    )


def _optimisation(record: TrainingRecord) -> str:
    c = record.config
    decay = c.get("weight_decay")
    sentences = [
        "Weights were optimised by AdamW [@loshchilov2019]"
        + (" in the AMSGrad variant [@reddi2018]" if c.get("amsgrad") else "")
        + (f" with a weight decay of {decay:g}" if decay else "")
        + f" on batches of {c.get('batch_size', '?')} structures in {c.get('dtype', '?')}, with seed "
        f"{c.get('seed', '?')}.",
        f"The loss was a weighted mean of {_rho(c)} of energies per atom, force components and stress "
        f"components. {_stages(c)}",
        _rate(c),
    ]
    if c.get("clip_grad") is not None:
        sentences.append(f"Gradients were clipped at a norm of {c['clip_grad']:g} [@pascanu2013].")
    if c.get("ema_decay") is not None:
        sentences.append(
            "Validation and the final potential used an exponential moving average of the weights with "
            f"decay {c['ema_decay']:g} [@polyak1992]."
        )
    sentences.append(_kept(record))
    return " ".join(s for s in sentences if s)


def _rho(c: Mapping[str, Any]) -> str:
    if c.get("loss") == "huber":
        return f"Huber functions [@huber1964] (delta {c.get('huber_delta', '?')} in units of eV and A)"
    return "squared errors"


def _stages(c: Mapping[str, Any]) -> str:
    """Weights and epochs, of one stage or of several."""
    schedule: Mapping[str, Any] = c.get("train_schedule") or {}
    if not schedule:
        weights = ", ".join(
            f"{c[key]:g} ({term})"
            for term, key in (
                ("energy", "energy_weight"),
                ("forces", "forces_weight"),
                ("stress", "stress_weight"),
            )
            if c.get(key)
        )
        return f"Weights were {weights} in eV and A, for up to {c.get('max_num_epochs', '?')} epochs."
    told = []
    for key, stage in sorted(schedule.items(), key=lambda item: item[1]["start"]):
        weights = ", ".join(f"{w:g} ({term.replace('_', ' ')})" for term, w in stage["loss"].items())
        told.append(
            f"“{stage.get('name') or key}” from epoch {stage['start']} to {stage['end']} with learning rate "
            f"{stage['lr']:g} and weights {weights}"
        )
    return f"The training had {len(told)} stages: {'; '.join(told)}."


def _rate(c: Mapping[str, Any]) -> str:
    first = "" if c.get("train_schedule") else f" of {c.get('lr', '?')}"
    if c.get("scheduler") == "plateau":
        return (
            f"The learning rate{first} was multiplied by {c.get('lr_factor', '?')} where the validation loss "
            f"had not fallen for more than {c.get('scheduler_patience', '?')} epochs."
        )
    if c.get("scheduler") == "cosine":
        lowest = c.get("lr_min", "?")
        return f"The learning rate{first} followed half a cosine [@loshchilov2017] down to {lowest}."
    return f"The learning rate{first} was kept constant."


def _kept(record: TrainingRecord) -> str:
    kept = [str(m.best_epoch) for m in record.members if m.best_epoch is not None]
    if not kept:
        return ""
    epochs = f"epoch {kept[0]}" if len(kept) == 1 else f"epochs {joined(kept)}"
    patience = record.config.get("patience")
    early = f", and training stopped after {patience} validations without improvement" if patience else ""
    return f"The weights of lowest validation loss were kept ({epochs}){early}."


def _outcome(record: TrainingRecord, record_sha256: str) -> str:
    row = next(
        (r for part in ("test", "valid") for r in record.rows if r.part == part and not r.config_type), None
    )
    found = "" if row is None else f"{_errors(row)} "
    package = record.package.get("key", "")
    key = f" The potential has the key {package[:16]}." if package else ""
    return f"{found}The complete record is training.json (sha256 {record_sha256}).{key}"


def _errors(row: ErrorRow) -> str:
    e = row.errors
    told = [
        f"{numbers.quantity(mae, stderr, unit, exact=stderr is None)} in {what}"
        for mae, stderr, unit, what in (
            (e.energy_mae, row.energy_mae_stderr, "meV/atom", "energies"),
            (e.forces_mae, row.forces_mae_stderr, "meV/A", "force components"),
            (e.stress_mae, None, "meV/A^3", "stress components"),
        )
        if mae is not None
    ]
    over = " (± one standard error over trajectories)" if row.forces_mae_stderr is not None else ""
    return f"On {e.n_frames} {_PARTS[row.part]} frames the mean absolute errors were {joined(told)}{over}."
