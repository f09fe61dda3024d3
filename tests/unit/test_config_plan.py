"""Suite files: every malformed one gets its one message, with file:line:col, and nothing else.

Oracle: the messages written out by hand. A wrong line, a hidden second problem, a message too many,
or an exception that is not ours all fail.
"""

import datetime
import json
from io import StringIO
from pathlib import Path

import pytest
from pydantic import PositiveFloat
from ruamel.yaml import YAML

from mlipbench.config.plan import Plan, load_plan, scale_params
from mlipbench.config.template import write_template
from mlipbench.core.criterion import Criterion
from mlipbench.core.errors import DataError, InputError, PlanError
from mlipbench.core.suite import Duration, FramesRef, Outcome, StructureRef, Suite, SuiteParams


class _Base(Suite):
    version = 1
    title = method = ""
    needs = frozenset()

    def measure(self, params, data):
        return Outcome([])


def criterion(name):
    return Criterion(name=name, compare="<", limit=1.0, unit="1", source="a test")


class ParityParams(SuiteParams):
    frames: FramesRef
    energy_reference: str = "as_is"


class Parity(_Base):
    name = "parity"
    criteria = (criterion("force_mae"), criterion("energy_mae"))
    Params = ParityParams


class NveParams(SuiteParams):
    structure: StructureRef
    temperatures_K: tuple[PositiveFloat, ...] = (300.0, 600.0)
    timestep_fs: PositiveFloat = 0.5
    duration_ps: Duration = 50.0
    prepare_ps: Duration | None = None
    windows_ps: tuple[Duration, ...] = (1.0, 2.0)
    stride: int = 10
    width: PositiveFloat | tuple[PositiveFloat, ...] = 1.0


class Nve(_Base):
    name = "nve"
    criteria = (criterion("drift"),)
    Params = NveParams


class Stability(_Base):
    name = "stability"
    criteria = (criterion("survival"),)
    Params = NveParams


SUITES = {"parity": Parity, "nve": Nve, "stability": Stability}
KINDS = {"silicon_pbe": "frames", "water_rdf": "curve"}

VALID = """\
title: a test
potential:
  use: sw-si
  kwargs: {}
intended_use: {elements: [Si], temperature_K: 300}
seed: 1
suites:
  parity:
    frames: {reference: silicon_pbe}
  nve:
    structure: {crystal: diamond, symbol: Si, lattice_A: 5.431, repeat: [2, 2, 2]}
    temperatures_K: [300, 600]
    timestep_fs: 0.5
limits:
  parity/force_mae: {limit: 100, reason: "a classical potential"}
waivers:
  - {criterion: nve/drift, reason: "known and being fixed", expires: 2099-01-01}
"""


def load(path, **kwargs):
    return load_plan(
        path,
        SUITES,
        potential_names=["sw-si", "lj-ar"],
        references=lambda manifest: KINDS,
        today=datetime.date(2026, 1, 1),
        **kwargs,
    )


def problems(tmp_path, monkeypatch, content, **kwargs):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.py").mkdir(exist_ok=True)
    path = Path("s.yaml")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PlanError) as caught:
        load(path, **kwargs)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


# (text to replace, replacement, the whole message)
CASES = {
    "unknown key at the top": (
        "seed: 1",
        "sed: 1",
        "6:1: sed: unknown key (expected one of references, seed, tier, watchdog); "
        "did you mean seed?",
    ),
    "unknown key of a section": (
        "  kwargs: {}",
        "  kwarg: {}",
        "4:3: potential.kwarg: unknown key (expected one of files, kwargs); did you mean kwargs?",
    ),
    "unknown key of a suite": (
        "    timestep_fs: 0.5",
        "    timestp_fs: 0.5",
        "13:5: suites.nve.timestp_fs: unknown key (expected one of duration_ps, prepare_ps, stride, "
        "timestep_fs, width, windows_ps); did you mean timestep_fs?",
    ),
    "unknown key of a nested model": (
        "lattice_A: 5.431",
        "lattice_A: 5.431, indx: 3",
        "11:65: suites.nve.structure.indx: unknown key (expected one of file, index, reference); "
        "did you mean index?",
    ),
    "another unit": (
        "timestep_fs: 0.5",
        "timestep_ps: 0.0005",
        "13:5: suites.nve.timestep_ps: unknown key (expected timestep_fs); the unit is fixed: "
        "write timestep_fs: 0.5",
    ),
    "another unit, nested": (
        "lattice_A: 5.431",
        "lattice_nm: 0.5431",
        "11:47: suites.nve.structure.lattice_nm: unknown key (expected lattice_A); the unit is fixed: "
        "write lattice_A: 5.431",
    ),
    "another unit of a required key": (
        "temperature_K: 300",
        "temperature_C: 26.85",
        "5:32: intended_use.temperature_C: unknown key (expected temperature_K); the unit is fixed: "
        "write temperature_K: 300",
    ),
    "another unit of a list": (
        "temperatures_K: [300, 600]",
        "temperatures_C: [0, 100]",
        "12:5: suites.nve.temperatures_C: unknown key (expected temperatures_K); the unit is fixed: "
        "write temperatures_K: [273.15, 373.15]",
    ),
    "number with its unit": (
        "temperature_K: 300",
        "temperature_K: 300 K",
        '5:47: intended_use.temperature_K: wrong type (expected a number, got "300 K"); '
        "write 300 alone, the unit is in the name of the key",
    ),
    "quoted number": (
        "timestep_fs: 0.5",
        'timestep_fs: "0.5"',
        '13:18: suites.nve.timestep_fs: wrong type (expected a number, got "0.5"); write 0.5 without quotes',
    ),
    "bool as a number": (
        "timestep_fs: 0.5",
        "timestep_fs: true",
        "13:18: suites.nve.timestep_fs: wrong type (expected a number, got true)",
    ),
    "bool as an integer": ("seed: 1", "seed: true", "6:7: seed: wrong type (expected an integer, got true)"),
    "fraction as an integer": (
        "seed: 1",
        "seed: 1.5",
        "6:7: seed: wrong type (expected an integer, got 1.5)",
    ),
    "nan": (
        "timestep_fs: 0.5",
        "timestep_fs: .nan",
        "13:18: suites.nve.timestep_fs: not a usable number (expected a finite number, got .nan)",
    ),
    "infinite": (
        "temperatures_K: [300, 600]",
        "temperatures_K: [300, .inf]",
        "12:27: suites.nve.temperatures_K[1]: not a usable number (expected a finite number, got .inf)",
    ),
    "too large for a float": (
        "timestep_fs: 0.5",
        "timestep_fs: 1e999",
        "13:18: suites.nve.timestep_fs: not a usable number (expected a finite number, got 1e999)",
    ),
    "negative timestep": (
        "timestep_fs: 0.5",
        "timestep_fs: -0.5",
        "13:18: suites.nve.timestep_fs: wrong value (expected a number above 0, got -0.5)",
    ),
    "negative temperature in a list": (
        "temperatures_K: [300, 600]",
        "temperatures_K: [300, -600]",
        "12:27: suites.nve.temperatures_K[1]: wrong value (expected a number above 0, got -600)",
    ),
    "zero temperature": (
        "temperature_K: 300",
        "temperature_K: 0",
        "5:47: intended_use.temperature_K: wrong value (expected a number above 0, got 0)",
    ),
    "number where a list is expected": (
        "temperatures_K: [300, 600]",
        "temperatures_K: 300",
        "12:21: suites.nve.temperatures_K: wrong type (expected a list, got 300); write [300]",
    ),
    "list where a number is expected": (
        "timestep_fs: 0.5",
        "timestep_fs: [0.5]",
        "13:18: suites.nve.timestep_fs: wrong type (expected a number, got a list of 1); "
        "write one number, not a list",
    ),
    "neither branch of a union": (
        "timestep_fs: 0.5",
        "width: broad",
        '13:12: suites.nve.width: wrong type (expected a number or a list, got "broad")',
    ),
    "inside one branch of a union": (
        "timestep_fs: 0.5",
        "width: [1, 2, x]",
        '13:19: suites.nve.width[2]: wrong type (expected a number, got "x")',
    ),
    "nothing where a value is expected": (
        "timestep_fs: 0.5",
        "timestep_fs:",
        "13:5: suites.nve.timestep_fs: wrong type (expected a number, got nothing); "
        "give a value, or leave the key out where it has a default",
    ),
    "too few entries": (
        "repeat: [2, 2, 2]",
        "repeat: [2, 2]",
        "11:73: suites.nve.structure.repeat: too few entries (got 2)",
    ),
    "text where a mapping is expected": (
        "{elements: [Si], temperature_K: 300}",
        "silicon",
        '5:15: intended_use: wrong type (expected a mapping, got "silicon")',
    ),
    "missing temperature": (
        ", temperature_K: 300",
        "",
        "5:1: intended_use.temperature_K: missing key; the temperature of the intended use, in K",
    ),
    "missing parameter": (
        "    structure: {crystal: diamond, symbol: Si, lattice_A: 5.431, repeat: [2, 2, 2]}\n",
        "",
        "10:3: suites.nve.structure: missing key",
    ),
    "number as a name": (
        "use: sw-si",
        "use: 3",
        '3:8: potential.use: wrong type (expected text, got 3); write "3" in quotes',
    ),
    "unknown potential": (
        "use: sw-si",
        "use: sw_si",
        '3:8: potential.use: unknown potential (expected one of lj-ar, sw-si, got "sw_si"); '
        "did you mean sw-si?",
    ),
    "missing file of a potential": (
        "use: sw-si",
        "use: mine.py:calculator",
        '3:8: potential.use: no such file (got "mine.py"); paths start from the folder of s.yaml',
    ),
    "folder as the file of a potential": (
        "use: sw-si",
        "use: folder.py:calculator",
        '3:8: potential.use: this is a folder (got "folder.py"); paths start from the folder of s.yaml',
    ),
    "no callable": (
        "use: sw-si",
        'use: "package.module:"',
        '3:8: potential.use: not the name of a callable (expected file.py:callable, got "package.module:")',
    ),
    "not a module": (
        "use: sw-si",
        'use: "my-package:calculator"',
        "3:8: potential.use: not a potential (expected a registered name, package.module:callable, "
        'or file.py:callable, got "my-package:calculator")',
    ),
    "missing weights": (
        "  kwargs: {}",
        "  files: [weights.pt]",
        '4:11: potential.files[0]: no such file (got "weights.pt"); paths start from the folder of s.yaml',
    ),
    "unknown suite": (
        "  nve:\n",
        "  nvee:\n",
        '10:3: suites.nvee: unknown suite (expected one of nve, parity, stability, got "nvee"); '
        "did you mean nve?",
    ),
    "unknown suite under use": (
        "    timestep_fs: 0.5",
        "    use: nvee",
        '13:10: suites.nve.use: unknown suite (expected one of nve, parity, stability, got "nvee"); '
        "did you mean nve?",
    ),
    "use is not text": (
        "    timestep_fs: 0.5",
        "    use: [nve]",
        "13:10: suites.nve.use: wrong type (expected the name of a suite, got a list of 1)",
    ),
    "key that is no name": (
        "limits:",
        "  a/b:\n    use: nve\n    structure: {reference: silicon_pbe}\nlimits:",
        "14:3: suites.a/b: not a name for a suite (expected letters, digits, - and _, at most 64)",
    ),
    "section that is no mapping": (
        "  parity:\n    frames: {reference: silicon_pbe}",
        "  parity: silicon_pbe",
        '8:11: suites.parity: wrong type (expected a mapping, got "silicon_pbe")',
    ),
    "unknown tier": (
        "seed: 1",
        "tier: ful",
        "6:7: tier: wrong value (expected 'screen', 'standard' or 'full', got \"ful\"); did you mean full?",
    ),
    "not an element": (
        "elements: [Si]",
        "elements: [si]",
        '5:27: intended_use.elements[0]: not an element (expected a symbol, got "si"); did you mean Si?',
    ),
    "element twice": (
        "elements: [Si]",
        "elements: [Si, Si]",
        '5:31: intended_use.elements[1]: named twice (got "Si")',
    ),
    "element without brackets": (
        "elements: [Si]",
        "elements: Si",
        '5:26: intended_use.elements: wrong type (expected a list, got "Si"); write [Si]',
    ),
    "unknown reference": (
        "silicon_pbe",
        "silicon_pbee",
        "9:25: suites.parity.frames.reference: unknown reference (expected one of silicon_pbe, water_rdf, "
        'got "silicon_pbee"); did you mean silicon_pbe?',
    ),
    "reference of another kind": (
        "silicon_pbe",
        "water_rdf",
        "9:25: suites.parity.frames.reference: a reference of another kind (expected frames, got curve)",
    ),
    "missing frames file": (
        "reference: silicon_pbe",
        "file: frames.extxyz",
        '9:20: suites.parity.frames.file: no such file (got "frames.extxyz"); '
        "paths start from the folder of s.yaml",
    ),
    "impossible path": (
        "reference: silicon_pbe",
        f"file: {'x' * 300}",
        "9:20: suites.parity.frames.file: not a path: File name too long "
        f'(got "{"x" * 57}..."); paths start from the folder of s.yaml',
    ),
    "two sources": (
        "reference: silicon_pbe",
        "reference: silicon_pbe, file: s.yaml",
        "9:13: suites.parity.frames: not one source (expected exactly one of file, reference, "
        "got file, reference)",
    ),
    "no source": (
        "reference: silicon_pbe",
        "",
        "9:13: suites.parity.frames: not one source (expected exactly one of file, reference, got none)",
    ),
    "bad slice": (
        "reference: silicon_pbe",
        "reference: silicon_pbe, index: every second",
        '9:45: suites.parity.frames.index: wrong value (expected a Python slice such as ":", "::10", "5:20", '
        'or a number, got "every second")',
    ),
    "unknown label": (
        "reference: silicon_pbe",
        "reference: silicon_pbe, keys: {enery: E}",
        "9:45: suites.parity.frames.keys.enery: unknown label (expected one of config_type, energy, forces, "
        "stress, trajectory, virial); did you mean energy?",
    ),
    "crystal without lattice constant": (
        "lattice_A: 5.431, ",
        "",
        "11:5: suites.nve.structure.lattice_A: a crystal needs it",
    ),
    "lattice constant of a file": (
        "{crystal: diamond, symbol: Si, lattice_A: 5.431, repeat: [2, 2, 2]}",
        "{reference: silicon_pbe, lattice_A: 5.4}",
        "11:52: suites.nve.structure.lattice_A: only a crystal has it",
    ),
    "no cells": (
        "repeat: [2, 2, 2]",
        "repeat: [2, 0, 2]",
        "11:73: suites.nve.structure.repeat: wrong value (expected cells of at least 1, got [2, 0, 2])",
    ),
    "limit of an unknown suite": (
        "parity/force_mae: {",
        "parety/force_mae: {",
        '15:3: limits.parety/force_mae: no such suite in this file '
        '(expected one of nve, parity, got "parety"); '
        "did you mean parity?",
    ),
    "limit of an unknown criterion": (
        "parity/force_mae: {",
        "parity/force_mea: {",
        "15:3: limits.parity/force_mea: unknown criterion (expected one of energy_mae, force_mae, "
        'got "force_mea"); did you mean force_mae?',
    ),
    "limit without its suite": (
        "parity/force_mae: {",
        "force_mae: {",
        '15:3: limits.force_mae: not a criterion (expected suite/criterion, got "force_mae"); '
        "did you mean parity/force_mae?",
    ),
    "bare limit": (
        'parity/force_mae: {limit: 100, reason: "a classical potential"}',
        "parity/force_mae: 100",
        "15:21: limits.parity/force_mae: wrong type (expected a mapping, got 100)",
    ),
    "limit without a reason": (
        ', reason: "a classical potential"',
        "",
        "15:3: limits.parity/force_mae.reason: missing key; why, in words: it is printed on the report",
    ),
    "waiver of one condition": (
        "criterion: nve/drift",
        "criterion: nve/drift@300K",
        '17:17: waivers[0].criterion: unknown criterion (expected drift, got "drift@300K"); '
        "write nve/drift: it counts for all conditions",
    ),
    "waiver with a poor reason": (
        '"known and being fixed"',
        '"fine"',
        '17:36: waivers[0].reason: wrong value (expected at least 10 characters, got "fine")',
    ),
    "waiver with no such day": (
        "2099-01-01",
        "2099-02-30",
        "17:70: waivers[0].expires: wrong type (expected a date such as 2027-01-31, "
        'got "2099-02-30")',
    ),
    "waiver without end": (
        ", expires: 2099-01-01",
        "",
        "17:5: waivers[0].expires: missing key",
    ),
    "waived twice": (
        "expires: 2099-01-01}\n",
        'expires: 2099-01-01}\n  - {criterion: nve/drift, reason: "a second time", expires: 2099-01-01}\n',
        '18:17: waivers[1].criterion: waived twice (got "nve/drift")',
    ),
    "missing manifest": (
        "seed: 1",
        "references: own/manifest.yaml",
        '6:13: references: no such file (got "own/manifest.yaml"); paths start from the folder of s.yaml',
    ),
    "watchdog in minutes": (
        "seed: 1",
        "watchdog: {memory_MB: 4000}",
        "6:12: watchdog.memory_MB: unknown key (expected memory_GB); the unit is fixed: write memory_GB: 4",
    ),
    "duplicated key": (
        "seed: 1",
        "seed: 1\nseed: 2",
        "7:1: seed: duplicated key, first given at 6:1; remove one of the two",
    ),
    "duplicated suite": (
        "limits:",
        "  nve: {}\nlimits:",
        "14:3: suites.nve: duplicated key, first given at 10:3; remove one of the two",
    ),
    "tag": (
        "title: a test",
        "title: !python/name a",
        "1:8: title: tags have no meaning here (expected plain YAML, got !python/name); remove it",
    ),
    "merge key": (
        "  kwargs: {}",
        "  <<: {}",
        "4:3: potential.<<: merge keys are not YAML 1.2; "
        "write the keys out, or use an alias for the whole mapping",
    ),
    "key without a name": ("seed: 1", "? [1]\n: 2", "6:3: not a key "
    "(expected a name, got a list or mapping)"),
    "control character in a key": (
        "seed: 1",
        '"a\\0": 1',
        "6:1: a key with control characters (expected printable text)",
    ),
    "surrogate": (
        "title: a test",
        'title: "a\\ud800"',
        "1:8: title: text with control characters (expected printable text)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_message(case, tmp_path, monkeypatch):
    old, new, message = CASES[case]
    assert VALID.count(old) == 1
    assert problems(tmp_path, monkeypatch, VALID.replace(old, new)) == [f"s.yaml:{message}"]


UNREADABLE = {
    "empty": (b"", "1:1: the file is empty (expected a mapping of keys and values)"),
    "comments alone": (b"# nothing\n", "1:1: the file is empty (expected a mapping of keys and values)"),
    "list": (b"- a\n", "1:1: not a suite file (expected a mapping of keys and values, got a list)"),
    "word": (b"\n hello\n", "2:2: not a suite file "
    "(expected a mapping of keys and values, got a single value)"),
    "tab": (b"a:\n\tb: 1\n", "2:1: YAML syntax: a tab (expected spaces, got a tab); indent with spaces"),
    "colon": (
        b"title: a: b\n",
        "1:9: YAML syntax: mapping values are not allowed here; "
        'check the indentation, and put text that holds ": " in quotes',
    ),
    "bracket": (
        b"a: [1, 2\nb: 3\n",
        "2:2: YAML syntax: expected ',' or ']', but got ':'; "
        "while parsing a flow sequence that starts in line 1",
    ),
    "quote": (
        b"a: 'x\n\n",
        "3:1: YAML syntax: found unexpected end of stream; "
        "while scanning a quoted scalar that starts in line 1",
    ),
    "unknown alias": (
        b"a: *x\n",
        "1:4: YAML syntax: found undefined alias 'x'; put text that starts with * in quotes",
    ),
    "two documents": (
        b"a: 1\n---\nb: 1\n",
        "2:1: YAML syntax: a second document (expected one document, got a line ---); split the file",
    ),
    "YAML 1.1": (b"%YAML 1.1\n---\na: No\n", "1:1: another YAML version (expected 1.2, got 1.1); "
    "remove the line"),
    "latin-1": (
        b"a: 1\nb: caf\xe9\n",
        "2:7: not UTF-8 text (expected UTF-8, got byte 0xe9); save the file as UTF-8",
    ),
    "UTF-16": (
        "a: 1\n".encode("utf-16"),
        "1:1: not UTF-8 text (expected UTF-8, got byte 0xff); save the file as UTF-8",
    ),
    "binary": (b"a: \x00\n", "1:4: not a text file (expected printable text, got character U+0000)"),
    "deep": (b"a: " + b"[" * 1500, "1:44: nested too deeply (expected at most 40 levels)"),
    "anchor twice": (
        b"a: &a 1\nb: &a 2\n",
        "2:4: an anchor of that name exists already; rename it",
    ),
    "alias in itself": (b"a: &a [1, *a]\n", "1:4: an alias that holds itself"),
    "alias bomb": (
        b"a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 9)),
        "1:10: too many values (expected at most 50000); aliases multiply what they stand for",
    ),
    "large": (b"#" * 200_001, "1:1: the file is too large (expected at most 200000 bytes, got 200001)"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable(case, tmp_path, monkeypatch):
    content, message = UNREADABLE[case]
    assert problems(tmp_path, monkeypatch, content) == [f"s.yaml:{message}"]


def test_no_file_and_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlanError, match=r"^none\.yaml:1:1: no such file$"):
        load(Path("none.yaml"))
    with pytest.raises(PlanError, match=r"this is a folder"):
        load(tmp_path)
    with pytest.raises(PlanError, match=r"cannot be read: "):
        load(Path("x" * 300))


def test_all_problems_of_a_file_in_order_of_lines(tmp_path, monkeypatch):
    text = (
        VALID.replace("temperature_K: 300", "temperature_C: 20")
        .replace("sw-si", "sw-so")
        .replace("timestep_fs: 0.5", "timestep_fs: fast\n    timestep_fs: .nan")
        .replace("nve/drift", "nve/drft")
    )
    found = problems(tmp_path, monkeypatch, text)
    assert [line.split(": ")[0] for line in found] == [
        "s.yaml:3:8", "s.yaml:5:32", "s.yaml:13:18", "s.yaml:14:5", "s.yaml:18:17"
    ]  # fmt: skip


def test_missing_sections_are_named(tmp_path, monkeypatch):
    assert problems(tmp_path, monkeypatch, "title: x\n") == [
        "s.yaml:1:1: potential: missing key; the potential to judge",
        "s.yaml:1:1: intended_use: missing key; what the potential is for",
        "s.yaml:1:1: suites: missing key; what to measure (mlipbench list suites)",
    ]


def test_unreadable_reference_is_located(tmp_path, monkeypatch):
    def resolve(ref, folder):
        if isinstance(ref, StructureRef):
            raise DataError("diamond cannot be built")

    found = problems(tmp_path, monkeypatch, VALID, resolve=resolve)
    assert found == ["s.yaml:11:16: suites.nve.structure: diamond cannot be built"]


def test_plugin_that_cannot_be_imported_is_located(tmp_path):
    def find(name):
        if name == "nve":
            raise InputError("suite 'nve' cannot be imported: No module named 'x'")
        return SUITES[name]

    path = tmp_path / "s.yaml"
    path.write_text(VALID)
    with pytest.raises(PlanError) as caught:
        load_plan(path, find)
    assert caught.value.problems == [
        f"{path}:10:3: suites.nve: suite 'nve' cannot be imported: No module named 'x'"
    ]


def valid_plan(tmp_path, text=VALID):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return load(path)


def test_valid_plan(tmp_path):
    plan = valid_plan(tmp_path)
    assert plan.seed == 1
    assert plan.tier == "full"
    assert list(plan.suites) == ["parity", "nve"]
    assert plan.suites["nve"].params.temperatures_K == (300.0, 600.0)
    assert plan.intended_use.temperature_K == 300.0
    assert plan.limits["parity/force_mae"].limit == 100.0
    assert plan.resolve("a/b.pt") == tmp_path / "a/b.pt"
    assert plan.warnings == ()
    with pytest.raises(AttributeError):
        plan.seed = 2


def test_a_suite_under_another_key_and_one_without_parameters(tmp_path):
    plan = valid_plan(tmp_path, VALID.replace("  parity:\n", "  nve-hot:\n    use: parity\n").replace(
        "parity/force_mae", "nve-hot/force_mae"
    ))  # fmt: skip
    assert plan.suites["nve-hot"].suite is Parity
    assert plan.suites["nve-hot"].name == "parity"


def test_expired_waiver_is_a_warning(tmp_path):
    plan = valid_plan(tmp_path, VALID.replace("2099-01-01", "2025-12-31"))
    assert len(plan.warnings) == 1
    assert plan.warnings[0].endswith(
        "s.yaml:17:70: waivers[0].expires: the waiver of nve/drift expired on 2025-12-31, it is not applied"
    )


@pytest.mark.parametrize("tier", ["screen", "standard", "full"])
def test_lock_is_lossless(tmp_path, tier):
    """Through JSON and through YAML, with a float that has no short decimal form."""
    text = VALID.replace("timestep_fs: 0.5", f"timestep_fs: {1 / 3!r}\n    duration_ps: 1e-7")
    plan = valid_plan(tmp_path, text).with_tier(tier)
    assert Plan.from_lock(json.loads(json.dumps(plan.lock())), SUITES) == plan
    written = StringIO()
    YAML(typ="safe", pure=True).dump(plan.lock(), written)
    again = Plan.from_lock(YAML(typ="safe", pure=True).load(written.getvalue()), SUITES)
    assert again == plan
    assert again.suites["nve"].params.timestep_fs == 1 / 3
    assert again.lock() == plan.lock()


def test_damaged_lock(tmp_path):
    locked = valid_plan(tmp_path).lock()
    with pytest.raises(PlanError, match=r"plan\.lock\.yaml:1:1: seed: wrong type"):
        Plan.from_lock({**locked, "seed": "x"}, SUITES)
    with pytest.raises(PlanError, match="unknown suite"):
        Plan.from_lock(locked, {"parity": Parity})


def test_tier_scales_durations_and_nothing_else():
    params = NveParams(structure=StructureRef(file="a"), duration_ps=50.0, prepare_ps=4.0, stride=10)
    scaled = scale_params(params, "screen")
    assert (scaled.duration_ps, scaled.prepare_ps) == (5.0, 0.4)
    assert scaled.windows_ps == (0.1, 0.2)
    kept = params.model_dump(exclude={"duration_ps", "prepare_ps", "windows_ps"})
    assert scaled.model_dump(exclude={"duration_ps", "prepare_ps", "windows_ps"}) == kept
    assert scale_params(params, "standard").duration_ps == 25.0
    assert scale_params(params, "full") == params


def test_tier_scales_nested_models():
    class Inner(SuiteParams):
        length_ps: Duration = 10.0

    class Outer(SuiteParams):
        inner: Inner = Inner()
        many: tuple[Inner, ...] = (Inner(), Inner())

    scaled = scale_params(Outer(), "standard")
    assert scaled.inner.length_ps == 5.0
    assert [inner.length_ps for inner in scaled.many] == [5.0, 5.0]


@pytest.mark.parametrize("data_file", ["data.extxyz", None])
@pytest.mark.parametrize("name", ["POSCAR", 'odd: "name", #1.xyz'])
def test_template_validates(tmp_path, data_file, name):
    (tmp_path / name).touch()
    (tmp_path / "data.extxyz").touch()
    path = tmp_path / "s.yaml"
    path.write_text(write_template(name, data_file, "lj-ar", 85.5, ["Ar"]))
    plan = load(path)
    assert list(plan.suites) == (["parity"] if data_file else []) + ["nve", "stability"]
    assert plan.suites["nve"].params.structure.file == name
    assert plan.suites["nve"].params.temperatures_K == (85.5, 171.0, 427.5)
    assert plan.intended_use.elements == ("Ar",)
    uncommented = path.read_text().replace("# limits:", "limits:").replace("#   parity/", "  parity/")
    path.write_text(uncommented.replace("# waivers:", "waivers:").replace("#   - {", "  - {"))
    if data_file:
        assert list(load(path).limits) == ["parity/force_mae"]
