"""The suite file that `mlipbench init` writes: it validates as it is, and says what may be changed."""

from __future__ import annotations

import json
from collections.abc import Sequence

_HEAD = """\
# Judge a potential:   mlipbench run THIS_FILE
# Check this file and estimate the cost, computing nothing:   mlipbench plan THIS_FILE
# Paths start from the folder of this file. Units are in the names of the keys.
title: {title}

potential:
  # A registered name (mlipbench list potentials), package.module:callable, or file.py:callable.
  # The callable returns an ASE calculator or a potential of mlipbench.
  use: {calculator}
  kwargs: {{}}  # arguments of the callable, such as {{device: cpu}}
  files: []  # weight files: their content is part of the potential's identity

# What the potential is for. It decides which criteria are required: those at this temperature.
intended_use:
  temperature_K: {temperature}
  elements: [{elements}]
  phases: []  # in words: diamond, liquid, ...
  pressure_bar: null  # a number for use at constant pressure
  electrostatics: false  # true where dipoles or charges matter

tier: full  # screen: a tenth of the lengths; standard: half. A screen can fail, but pass nothing long.
seed: 1

suites:
"""

_PARITY = """\
  # Errors of energy, forces and stress on labelled frames that the potential was not trained on.
  parity:
    frames: {{file: {data_file}}}
    energy_reference: fitted  # as_is where both codes share their zero of energy
"""

_NO_PARITY = """\
  # Errors on labelled frames: give a file (extxyz or ASE database) and remove the signs #.
  # parity:
  #   frames: {{file: frames.extxyz}}
  #   energy_reference: fitted
"""

_TAIL = """\
  # Drift of the total energy in molecular dynamics at constant energy.
  nve:
    structure: {{file: {structure_file}}}
    temperatures_K: [{temperatures}]
  # Does molecular dynamics survive at the temperature of use, and at 1.5 times that?
  stability:
    structure: {{file: {structure_file}}}

# limits:  # in place of a suite's own limit, in its unit; shown on the report
#   parity/force_mae: {{limit: 100, reason: "say why another limit is right"}}
# waivers:  # a required criterion set aside until a date; on the report's first screen
#   - {{criterion: parity/force_mae, reason: "say why it may be set aside", expires: 2030-01-01}}
# references: my_references/manifest.yaml  # reference sets of your own
watchdog: {{stall_s: 300, memory_GB: null}}
"""


def write_template(
    structure_file: str,
    data_file: str | None,
    calculator: str,
    temperature: float,
    elements: Sequence[str] = (),
) -> str:
    """Text of a suite file. `temperature` in K; without `data_file`, parity is left as a comment.

    Dynamics is asked for at the temperature of use, twice and five times that, where failures show.
    """
    text = _HEAD.format(
        title=json.dumps(f"{calculator}: may it be used at {temperature:g} K?", ensure_ascii=False),
        calculator=_quoted(calculator),
        temperature=f"{temperature:g}",
        elements=", ".join(_quoted(element) for element in elements),
    )
    frames = _NO_PARITY if data_file is None else _PARITY
    text += frames.format(data_file=_quoted(data_file or ""))
    return text + _TAIL.format(
        structure_file=_quoted(structure_file),
        temperatures=", ".join(f"{factor * temperature:g}" for factor in (1, 2, 5)),
    )


def _quoted(text: str) -> str:
    """A string in YAML's double quotes, which understand JSON's escapes."""
    return json.dumps(text, ensure_ascii=False)
