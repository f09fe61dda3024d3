"""Suites that do what a suite must not do, each in one way."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np

from mlipbench.api import (
    Context,
    Criterion,
    Data,
    Figure,
    InputError,
    Inputs,
    Measurement,
    Outcome,
    Panel,
    Series,
    Structure,
    Suite,
    SuiteParams,
)

ONE = Measurement(name="one", value=1.0, unit="1", exact=True, stderr=0.0)


class Base(Suite):
    """A sound suite that does nothing."""

    name, version, title, method = "base", 1, "Hostile", "None."
    needs = frozenset({"energy"})
    criteria = (Criterion(name="one", compare="<", limit=2.0, unit="1", item=6, source="a test"),)

    class Params(SuiteParams):
        """None."""

    def produce(self, params: Any, context: Context) -> None:
        """Nothing."""

    def measure(self, params: Any, data: Data) -> Outcome:
        """One."""
        return Outcome([ONE])


def fails() -> None:
    raise RuntimeError("a plug-in's own words")


def segfault() -> None:
    ctypes.string_at(0)


def hang() -> None:
    while True:
        time.sleep(60)


def close_every_file() -> None:
    os.closerange(3, 256)
    time.sleep(1.0)


def leave_a_thread() -> None:
    threading.Thread(target=hang).start()


def leave_a_child() -> None:
    if os.fork() == 0:
        time.sleep(600)


def leave_a_daemon() -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)


def garbage_in_the_pipe() -> None:
    os.write(int(sys.argv[1]), b'\xff\x00{"fraction"\n[]\n"x"\n')


def print_a_lot() -> None:
    print("x" * 10**6)
    sys.stderr.write("\x1b[2J\udcff".encode("utf-8", "replace").decode())


def produces(act: Any) -> type[Suite]:
    class Produces(Base):
        def produce(self, params: Any, context: Context) -> None:
            act()

    return Produces


def saves(name: Any, value: Any) -> type[Suite]:
    class Saves(Base):
        def produce(self, params: Any, context: Context) -> None:
            context.save(name, value)

    return Saves


def measures(make: Any) -> type[Suite]:
    class Measures(Base):
        def measure(self, params: Any, data: Data) -> Any:
            return make(data)

    return Measures


def declares(make: Any) -> type[Suite]:
    class Declares(Base):
        def trajectories(self, params: Any, inputs: Inputs) -> Any:
            return make(inputs)

    return Declares


class structures_raise(Base):
    """Cannot say what it evaluates."""

    def structures(self, params: Any, inputs: Inputs) -> list[Structure]:
        """Raises."""
        raise IndexError("no structures here")


def value(number: Any, **more: Any) -> Any:
    return lambda data: Outcome([ONE.model_copy(update={"value": number, **more})])


def figure(numbers: Any) -> Any:
    panel = Panel(xlabel="x", ylabel="y", series=[Series(kind="line", x=numbers, y=numbers)])
    return lambda data: Outcome([ONE], figures=[Figure(id="f", caption="c", alt="a", panels=[panel])])


produce_raises = produces(fails)
produce_returns_nonsense = produces(lambda: {"forces": 3})  # its answer is not asked: sound
produce_asks_for_the_impossible = declares(lambda inputs: {})
produce_input_error = produces(lambda: (_ for _ in ()).throw(InputError("not the user's fault")))
produce_recursion = produces(lambda: (lambda f: f(f))(lambda f: f(f)))
saves_no_array = saves("a", [1, 2, 3])
saves_objects = saves("a", np.array([object()]))
saves_path = saves("../../../escape", np.zeros(3))
saves_number = saves(3, np.zeros(3))
measure_raises = measures(lambda data: fails())
measure_none = measures(lambda data: None)
measure_list = measures(lambda data: [ONE])
measure_no_measurement = measures(lambda data: Outcome([1.0]))
measure_no_list = measures(lambda data: Outcome(ONE))
measure_nan = measures(value(float("nan")))
measure_infinite = measures(value(float("inf")))
measure_text = measures(value("one"))
measure_array = measures(value(np.ones(3)))
measure_nan_error = measures(value(1.0, stderr=float("nan"), exact=False))
measure_nan_evidence = measures(value(1.0, evidence={"length_ps": float("nan")}))
measure_wrong_unit = measures(value(1.0, unit="furlong"))
measure_twice = measures(lambda data: Outcome([ONE, ONE]))
measure_nan_figure = measures(figure([1.0, float("nan")]))
measure_wrong_figure = measures(lambda data: Outcome([ONE], figures=["a picture"]))
measure_wrong_note = measures(lambda data: Outcome([ONE], notes=[3]))
measure_missing_array = measures(lambda data: data.array("never saved"))
measure_missing_trajectory = measures(lambda data: data.trajectory("never declared"))
declares_raises = declares(lambda inputs: fails())
declares_list = declares(lambda inputs: [1, 2])
declares_wrong = declares(lambda inputs: {"nvt": "a trajectory"})

exits = produces(lambda: sys.exit(0))
interrupts = produces(lambda: (_ for _ in ()).throw(KeyboardInterrupt()))
exits_at_once = produces(lambda: os._exit(0))
crashes = produces(segfault)
aborts = produces(os.abort)
terminated = produces(lambda: os.kill(os.getpid(), signal.SIGTERM))
hangs = produces(hang)
closes_every_file = produces(close_every_file)
leaves_a_thread = produces(leave_a_thread)
leaves_a_child = produces(leave_a_child)
leaves_a_daemon = produces(leave_a_daemon)
writes_garbage = produces(garbage_in_the_pipe)
prints = produces(print_a_lot)


# ---- what is knowable before anything runs
class no_params(Base):
    """Params is no model."""

    Params = dict


class no_version(Base):
    """The version is a text."""

    version = "1"


class no_measure(Suite):
    """An abstract suite."""

    name, version, title, method = "x", 1, "x", "x"
    needs: frozenset[str] = frozenset()
    criteria = ()

    class Params(SuiteParams):
        """None."""


class no_title(Suite):
    """A suite without a title."""

    name, version, method = "x", 1, "x"


class criteria_list(Base):
    """Criteria in a list."""

    criteria = list(Base.criteria)  # noqa: RUF012


class criteria_of_another_kind(Base):
    """Criteria that are texts."""

    criteria = ("below 3",)


class criteria_twice(Base):
    """Two criteria of one name."""

    criteria = Base.criteria * 2


class criteria_nan(Base):
    """A limit that is no number."""

    criteria = (Base.criteria[0].model_copy(update={"limit": float("nan")}),)


class needs_unknown(Base):
    """A property that no potential has."""

    needs = frozenset({"charges"})


not_a_class = 3
not_a_suite = dict


def delete_the_run() -> None:
    shutil.rmtree(os.environ["UNHURT_RUN"])


deletes_the_run = produces(delete_the_run)
