"""How Quantum ESPRESSO is called: kernels that the processor lacks end in an illegal instruction, those of an
old processor take twice the time."""

import pytest

from reference_data import espresso


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
