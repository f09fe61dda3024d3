"""junit.xml: the verdicts for a CI server.

One test suite a suite of the plan, one test case a judged measurement. The file tells a CI server the
same as the exit code does, so what does not gate is never red:

    required FAIL            failure (type FAIL)
    required INCONCLUSIVE    failure (type INCONCLUSIVE): the gate does not open either
    suite not run            failure (type NOT_RUN), as the gate takes it for inconclusive
    ERROR                    error, with the traceback
    advisory, or waived      skipped, with the verdict in the message
    NOT_APPLICABLE           skipped
    PASS                     passed
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from mlipbench.report import words
from mlipbench.report.models import MeasurementView, RunView, SuiteView

# Everything that XML 1.0 does not allow (colour codes of terminals in tracebacks, for one).
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(run: RunView) -> bytes:
    """The test report as UTF-8 XML."""
    root = ElementTree.Element("testsuites", {"name": _legal(f"mlipbench: {run.results.title}")})
    suites = [_suite(root, suite, run.seconds.get(suite.key)) for suite in run.suites]
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _suite(root: ElementTree.Element, suite: SuiteView, seconds: float | None) -> ElementTree.Element:
    element = ElementTree.SubElement(root, "testsuite", {"name": _legal(suite.key)})
    for measurement in suite.judged:
        _case(element, suite, measurement)
    if not suite.complete or not suite.judged:
        _whole_suite(_new_case(element, suite, "suite"), suite)
    element.set("tests", str(len(element.findall("testcase"))))
    for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(count, str(len(element.findall(f"testcase/{tag}"))))
    if seconds is not None:
        element.set("time", f"{seconds:.3f}")
    return element


def _whole_suite(case: ElementTree.Element, suite: SuiteView) -> None:
    """The one test case of a suite that has no numbers to judge."""
    message = suite.reason or suite.summary
    if suite.complete:
        return
    if suite.status is words.NOT_APPLICABLE:
        _outcome(case, "skipped", "NOT_APPLICABLE", message)
    elif not suite.gates:
        _outcome(
            case, "skipped", "ADVISORY", f"advisory {suite.status.word.lower()}; {message}", suite.traceback
        )
    elif suite.status is words.ERROR:
        _outcome(case, "error", "ERROR", message, suite.traceback)
    else:
        _outcome(case, "failure", "NOT_RUN", message)


def _new_case(element: ElementTree.Element, suite: SuiteView, name: str) -> ElementTree.Element:
    names = {"classname": _legal(f"mlipbench.{suite.key}"), "name": _legal(name)}
    return ElementTree.SubElement(element, "testcase", names)


def _case(element: ElementTree.Element, suite: SuiteView, m: MeasurementView) -> None:
    case = _new_case(element, suite, m.id.split("/", 1)[-1])
    message = f"{m.value}: {m.reason}"
    if m.verdict is words.PASS:
        return
    if m.verdict is words.NOT_APPLICABLE:
        _outcome(case, "skipped", "NOT_APPLICABLE", m.reason)
    elif m.verdict is words.WAIVED:
        _outcome(case, "skipped", "WAIVED", f"waived; {message}")
    elif not m.required:
        _outcome(case, "skipped", "ADVISORY", f"advisory {m.verdict.word.lower()}; {message}")
    elif m.verdict is words.ERROR:
        _outcome(case, "error", "ERROR", message)
    else:
        kind = "FAIL" if m.verdict is words.FAIL else "INCONCLUSIVE"
        _outcome(case, "failure", kind, message, f"{message}\nlimit {m.limit} ({m.source})")


def _outcome(case: ElementTree.Element, tag: str, kind: str, message: str, text: str = "") -> None:
    element = ElementTree.SubElement(case, tag, {"type": kind, "message": _legal(message)})
    element.text = _legal(text) or None


def _legal(text: str) -> str:
    return _ILLEGAL.sub("", text)
