"""Frames chosen by their kind, as a suite file names it."""

from pathlib import Path

import pytest

from mlipbench.core.errors import DataError
from mlipbench.core.shipped import reference_data
from mlipbench.core.suite import FramesRef
from mlipbench.data.references import Manifest
from mlipbench.data.structures import resolve_frames

REFERENCE = "argon_lj"


@pytest.fixture(scope="module")
def manifest():
    return Manifest.load(reference_data())


def _resolve(manifest, *config_types):
    return resolve_frames(FramesRef(reference=REFERENCE, config_types=config_types), Path(), manifest)


def test_patterns_choose(manifest):
    everything = _resolve(manifest)
    kinds = sorted({frame.config_type for frame in everything})
    assert len(kinds) > 1
    some = _resolve(manifest, kinds[0][:-1] + "*")
    assert {frame.config_type for frame in some} == {kinds[0]}
    assert len(some) == sum(frame.config_type == kinds[0] for frame in everything)
    assert len(_resolve(manifest, *kinds)) == len(everything)


def test_an_unknown_kind_is_named_with_those_there(manifest):
    with pytest.raises(DataError, match=r"no frame has config_type 'molten' \(config types there: "):
        _resolve(manifest, "molten")
