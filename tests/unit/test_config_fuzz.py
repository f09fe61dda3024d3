"""Whatever the suite file holds, only InputError leaves the loader; a plan that loads survives its lock.

Oracle: the exception tree. Catches a parser's own exception (ruamel's, pydantic's, RecursionError,
UnicodeError, OSError) that would reach a user as a traceback.
"""

import json
import re
import tempfile
import tracemalloc
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_config_plan import SUITES, VALID, load

from mlipbench.config.plan import Plan
from mlipbench.core.errors import InputError

LOCATED = re.compile(r"^.+?:\d+:\d+: .")
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def check(content: bytes) -> Plan | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.yaml"
        path.write_bytes(content)
        try:
            plan = load(path)
        except InputError as error:
            problems = str(error).split("\n")
            assert all(LOCATED.match(problem) for problem in problems), problems
            return None
        assert Plan.from_lock(json.loads(json.dumps(plan.lock())), SUITES) == plan
        return plan


@QUICK
@given(st.binary(max_size=200))
@example(b"%TAG ! a\n---\n!b c")
@example(b"%YAML 1.2 x\n--- a")
@example(b"--- !<> a")
@example(b"? ? ? a")
@example(b"&a &b c: *a")
@example(b"a: 0x\nb: -_\nc: 1_\nd: 0b_")
@example(b"a: |9\n x")
@example(b"'\\u0")
@example(b"a: !!float x")
@example(b"suites: {1: 2, null: 3, [a]: 4, {b: c}: 5}")
@example(b"\xef\xbb\xbf")
@example("title: a".encode("utf-16"))
@example("title: a".encode("utf-32"))
@example(b"title: \xff")
@example(b"title: a\x00b")
@example(b"[" * 20_000)
@example(b"a: " * 5_000)
@example(b"- " * 5_000)
@example(b"&a [*a]")
@example(b"&a {x: *a}")
@example(b"suites: &s {nve: *s}")
@example(b"<<: {suites: {}}")
@example(b"!!python/object/apply:os.system ['false']")
@example(b"suites: !!python/name:os.system {}")
@example(b"seed: " + b"9" * 100_000)
@example(b"seed: 0x" + b"f" * 10_000)
@example(b"seed: 1e99999")
@example(b"seed: 2027-01-01")
@example(b"seed: 12:30:45")
@example(b"seed: !!int '3'")
@example(b"? " + b"k" * 2000 + b"\n: 1")
@example(b"title: " + b"x" * 199_990)
@example(b"x" * 300_000)
def test_bytes(content):
    assert check(content) is None


YAML_BITS = st.sampled_from(
    [
        *"{}[]:,-?!&*#|>%@\"'\n \t~_", "<<: ", "...", "---", "null", ".nan", "1e999", "0o17", "2027-01-01",
        "true", "!!int ", "!!set ", "&a ", "*a", "\\x00", "\u2028", "\ufeff", "suites:", "nve:", "use: ",
        "\U0001f600", "\\ud800",
    ]
)  # fmt: skip


@QUICK
@given(st.lists(YAML_BITS | st.text(max_size=4), max_size=30).map("".join))
def test_pieces_of_yaml(text):
    assert check(text.encode("utf-8", "surrogatepass")) is None


@QUICK
@given(st.integers(0, len(VALID)), st.integers(0, 12), st.lists(YAML_BITS, max_size=4).map("".join))
def test_damaged_suite_files(at, removed, inserted):
    check((VALID[:at] + inserted + VALID[at + removed :]).encode())


LINES = VALID.splitlines()
ODD = st.sampled_from(
    [
        "",
        "~",
        "null",
        "yes",
        "no",
        "on",
        "0o17",
        "017",
        "0x1F",
        "1_000",
        "1e3",
        "1,5",
        ".5",
        "5.",
        "-0",
        "+3",
        ".inf",
        "-.inf",
        ".nan",
        "nan",
        "inf",
        "1e999",
        "9" * 30,
        "2027-13-45",
        "2027-01-31",
        "[]",
        "{}",
        "[[]]",
        "[1, 2",
        "{a: 1",
        "'",
        '"',
        '"\\ud800"',
        "*nothing",
        "&x 3",
        "!!str 3",
        "!mine 3",
        "|",
        ">",
        "|2",
        "# all gone",
        "a: b: c",
        "@at",
        "`tick",
        "%percent",
        "- - -",
        "? x",
        "300 K",
        "300K",
        "1 000",
        "٣٠٠",
    ]
)
CHANGES = st.tuples(
    st.sampled_from(["delete", "double", "indent", "outdent", "swap", "value", "key", "cut"]),
    st.integers(0, len(LINES) - 1),
    ODD,
)


def changed(lines: list[str], what: str, at: int, odd: str) -> list[str]:
    """One change of the kind that an editor, a merge or a copy leaves behind."""
    lines, at = list(lines), at % max(len(lines), 1)
    line = lines[at] if lines else ""
    key, colon, value = line.partition(":")
    if what == "delete":
        del lines[at : at + 1]
    elif what == "double":
        lines.insert(at, line)
    elif what == "swap":
        lines[at : at + 2] = lines[at : at + 2][::-1]
    elif what == "cut":
        lines = [*lines[:at], line[: len(line) // 2]]
    else:
        new = {"indent": f"  {line}", "outdent": line.removeprefix("  "), "value": f"{key}{colon} {odd}"}
        lines[at : at + 1] = [new.get(what, f"{odd}:{value}")]
    return lines


@QUICK
@given(st.lists(CHANGES, min_size=1, max_size=3))
def test_a_valid_file_changed_line_by_line(changes):
    lines = LINES
    for what, at, odd in changes:
        lines = changed(lines, what, at, odd)
    check("\n".join(lines).encode())


def test_aliases_that_multiply_cost_no_memory():
    """A billion values in a dozen lines."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    tracemalloc.start()
    assert check(("\n".join(lines) + "\n").encode()) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["file", "use", "frames", "limit"]) | st.text(max_size=5), inner, max_size=3
        )
    ),
    max_leaves=8,
)
PATHS = ["title", "potential", "intended_use", "tier", "seed", "suites", "limits", "waivers", "watchdog"]
PATHS += [
    "suites.parity",
    "suites.nve",
    "suites.nve.structure",
    "suites.nve.temperatures_K",
    "suites.nve.use",
]
PATHS += ["potential.use", "potential.files", "intended_use.elements", "references"]


@QUICK
@given(st.sampled_from(PATHS), VALUES)
@example("potential.files", ["\0", "~nobody/x", "//", "a" * 5000])
@example("suites.parity", {"\U0001f600": 1})
@example("potential", {"\n": None})
@example("seed", 10**30)
@example("seed", -1)
@example("references", "~nobody/x")
def test_any_value_anywhere(path, value):
    data = {
        "potential": {"use": "sw-si"},
        "intended_use": {"temperature_K": 300},
        "suites": {
            "nve": {"structure": {"crystal": "diamond", "symbol": "Si", "lattice_A": 5.4}},
            "parity": {},
        },
    }
    data["suites"]["parity"] = {"frames": {"reference": "silicon_pbe"}}
    *above, last = path.split(".")
    here = data
    for part in above:
        here = here[part]
    here[last] = value
    check(json.dumps(data).encode())


def test_the_undamaged_file_loads():
    assert check(VALID.encode()) is not None
