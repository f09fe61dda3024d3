"""What was done, in the past tense, to be copied into a paper: text, numbered list, BibTeX.

Sentences come from the stored run alone. A suite writes its own (`Outcome.methods`); for one that
writes none, a plain sentence is made of its parameters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlipbench.core import literature
from mlipbench.core.citation import Citation
from mlipbench.core.judge import ALPHA
from mlipbench.core.result import JudgedMeasurement, ReferenceRecord, Results, SuiteResult
from mlipbench.report.bibliography import Bibliography, bibtex, plain
from mlipbench.report.facts import limit_change, rows_of
from mlipbench.report.numbers import limit_text, pretty_text

FUNCTIONALS = {"PBE": literature.PBE}  # what a level of theory may name, and the work behind it


@dataclass(frozen=True)
class Methods:
    """The text with numbers for its citations, and the works behind them."""

    paragraphs: list[str]
    works: list[tuple[int, Citation]]

    @property
    def text(self) -> str:
        """methods.txt: the paragraphs and the numbered list."""
        works = "\n".join(f"[{n}] {_with_doi(work)}" for n, work in self.works)
        return "\n\n".join([*self.paragraphs, f"References\n\n{works}"]) + "\n"

    @property
    def bibtex(self) -> str:
        """citations.bib."""
        return bibtex(work for _, work in self.works)


def _with_doi(work: Citation) -> str:
    return f"{plain(work)}, doi:{work.doi}" if work.doi else plain(work)


def methods(
    results: Results, suites: list[SuiteResult], provenance: Mapping[str, Any], record_sha256: str
) -> tuple[Methods, Bibliography]:
    """Write it. `suites` are in the order of the report; `record_sha256` is that of results.json.

    The bibliography knows all works of the run; those of the text are numbered.
    """
    packages: Mapping[str, str] = provenance.get("packages", {})
    own = own_citation(provenance)
    data = [_dataset(reference) for reference in results.references]
    known = [own, literature.ASE, literature.NUMPY, literature.SCIPY, literature.VESIN, *data]
    known += [literature.HOLM, literature.EQUIVALENCE, *FUNCTIONALS.values(), *results.potential.citations]
    known += [citation for suite in suites for citation in suite.citations]
    bibliography = Bibliography({citation.key: citation for citation in known})
    paragraphs = [
        " ".join([_potential(results), _software(results, packages), _references(results)]),
        *(_suite(suite) for suite in suites),
        " ".join(
            part for part in (_statistics(suites), _changes(results), _record(results, record_sha256)) if part
        ),
    ]
    paragraphs = [pretty_text(p).replace("\N{NO-BREAK SPACE}", " ") for p in paragraphs]
    bibliography.add(paragraphs)
    numbered = [bibliography.numbered(paragraph) for paragraph in paragraphs]
    return Methods(numbered, bibliography.works), bibliography


def own_citation(provenance: Mapping[str, Any]) -> Citation:
    """mlipbench itself, as it was used."""
    version = provenance.get("packages", {}).get("mlipbench", "")
    return Citation(
        key="mlipbench",
        kind="software",
        title="mlipbench: validation of machine-learning interatomic potentials",
        note=", ".join(_versions(version, provenance.get("git", {}))),
    )


def _versions(version: str, git: Mapping[str, Any]) -> list[str]:
    parts = [f"version {version}"] if version else []
    if git.get("commit"):
        parts.append(f"commit {git['commit']}" + (" with local changes" if git.get("modified") else ""))
    return parts


def _potential(results: Results) -> str:
    potential, use = results.potential, results.intended_use
    named = "".join(f" [@{'; @'.join(c.key for c in potential.citations)}]" if potential.citations else "")
    state = "a content hash of all that decides its answers"
    if not potential.verified:
        state = "unverified: part of what decides its answers could not be hashed"
    numerics = f", evaluated in {potential.dtype} on {potential.device}" if potential.dtype else ""
    phases = f" ({', '.join(use.phases)})" if use.phases else ""
    pressure = f" and {use.pressure_bar:g} bar" if use.pressure_bar is not None else ""
    return (
        f"The interatomic potential “{potential.name}”{named} (identity {potential.key[:16] or 'unknown'}, "
        f"{state}{numerics}) was validated for use with {', '.join(use.elements) or 'elements not declared'}"
        f"{phases} at {use.temperature_K:g} K{pressure}."
    )


def _software(results: Results, packages: Mapping[str, str]) -> str:
    works = {"ase": "ASE", "numpy": "NumPy", "scipy": "SciPy", "vesin": "vesin"}
    keys = {"ase": literature.ASE, "numpy": literature.NUMPY, "scipy": literature.SCIPY}
    keys["vesin"] = literature.VESIN
    used = [f"{name} {packages[p]} [@{keys[p].key}]" for p, name in works.items() if p in packages]
    built = f", built on {joined(used)}" if used else ""
    return (
        f"All calculations were run and judged by mlipbench {packages.get('mlipbench', '')} [@mlipbench]"
        f"{built}; tier {results.tier}, random seed {results.seed}."
    ).replace("  ", " ")


def _dataset(reference: ReferenceRecord) -> Citation:
    facts = [reference.source, reference.licence and f"licence {reference.licence}"]
    return Citation(
        key=_key(reference.name),
        kind="dataset",
        title=f"Reference data {reference.name}",
        note="; ".join([*(fact for fact in facts if fact), f"sha256 {reference.sha256}"]),
    )


def _key(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", f"data-{name}")


def _references(results: Results) -> str:
    words = []
    for reference in results.references:
        theory = reference.level_of_theory or "level of theory not stated"
        state = "" if reference.verified else ", not verified: drawn, but no verdict rests on it"
        words.append(f"{reference.name} [@{_key(reference.name)}] ({theory}{functional_mark(theory)}{state})")
    return f"Reference data: {joined(words)}." if words else "No reference data were used."


def functional_mark(theory: str) -> str:
    """` [@perdew1996]` where a level of theory names a functional whose work is known."""
    works = [w.key for name, w in FUNCTIONALS.items() if re.search(rf"(?<![\w-]){name}(?![\w+-])", theory)]
    return f" [@{works[0]}]" if works else ""


def _suite(suite: SuiteResult) -> str:
    if suite.status != "complete":
        what = {"error": "ended in an error", "not_applicable": "did not apply", "not_run": "was not run"}
        reason = f" ({suite.reason})" if suite.reason else ""
        return f"The suite {suite.suite} ({suite.title}) {what[suite.status]}{reason}."
    if suite.methods:
        return suite.methods
    asked = [f"{row.term} = {row.text}" for row in rows_of(suite.asked)]
    settings = f" with {joined(asked)}" if asked else ""
    return f"The suite {suite.suite} ({suite.title}), version {suite.version}, was run{settings}."


def joined(parts: list[str]) -> str:
    """`a, b and c`."""
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)


def _statistics(suites: list[SuiteResult]) -> str:
    judged = [(s.key, m) for s in suites for m in s.measurements if m.criterion is not None]
    tested = [(key, m) for key, m in judged if _tested(m)]
    if not judged:
        return "Nothing was held against a limit."
    if not tested:
        return "All numbers held against a limit were counts or deterministic results."
    families: dict[tuple[str, str], int] = {}
    for key, m in tested:
        family = (key, m.id.split("@")[0])
        families[family] = families.get(family, 0) + 1
    text = (
        f"Each average was held against its limit by its one-sided {100 * (1 - ALPHA):g} % confidence bound, "
        "from its standard error, its effective number of independent samples and Student's t"
    )
    if any(m.criterion and m.criterion.compare == "abs<" for _, m in tested):
        text += "; magnitudes by two one-sided tests [@schuirmann1987]"
    if any(number > 1 for number in families.values()):
        text += "; where one criterion was asked several times, with the correction of Holm [@holm1979]"
    return text + "."


def _tested(m: JudgedMeasurement) -> bool:
    """Whether the judge made a statistical test of the number, and not a plain comparison."""
    known = m.value is not None and math.isfinite(m.value) and not m.exact and bool(m.stderr)
    return known and (m.n_eff or 0.0) >= 2


def _changes(results: Results) -> str:
    """Limits that the suite file changed, and waivers: a paper must not be silent about them."""
    measurements = [m for suite in results.suites.values() for m in suite.measurements]
    changed = {
        m.id.split("@")[0]: f"{m.id.split('@')[0]} {limit_text(m.criterion)} in place of "
        f"{limit_text(m.criterion, m.default_limit)}"
        for m in measurements
        if m.criterion is not None and limit_change(m)
    }
    parts = [f"The suite file changed limits: {joined(list(changed.values()))}."] if changed else []
    if results.waivers:
        waived = [f"{w.criterion} (until {w.expires}: {w.reason.rstrip('.')})" for w in results.waivers]
        parts.append(f"Waivers were declared for {joined(waived)}.")
    return " ".join(parts)


def _record(results: Results, record_sha256: str) -> str:
    return (
        f"The verdict was {results.verdict}: {results.sentence} "
        f"The complete record is results.json (sha256 {record_sha256})."
    )
