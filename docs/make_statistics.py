"""Measure what docs/statistics.md claims, and write its tables and figure.

python docs/make_statistics.py --repeats 2000                all studies
python docs/make_statistics.py --repeats 2000 --only frames  one study, the others kept
python docs/make_statistics.py --render                      tables and figure from docs/statistics.json
"""

import argparse
import datetime
import json
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from statistics_series import REQUIRED
from statistics_studies import STUDIES, Row

HERE = Path(__file__).parent


def percent(share: float) -> str:
    """One decimal, as the repeats allow."""
    return f"{100 * share:.1f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown, first column left, the others right."""
    lines = [head, [":--"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def mark(row: Row) -> str:
    """Whether a cell holds the promise: 94 to 96 % from 30 memories on, 95 % or more below."""
    low, high = (0.94, 0.96) if row["lengths"] >= 30 else (0.95, 1.0)
    tolerance = 2 * (0.95 * 0.05 / row["repeats"]) ** 0.5
    if low <= row["two_sided"] <= high:
        return "holds"
    if low - tolerance <= row["two_sided"] <= high + tolerance:
        return "within its error"
    return "too wide" if row["two_sided"] > high else "too narrow"


def series_table(rows: list[Row], what: str) -> str:
    """Coverage of means or slopes."""
    chosen = sorted((r for r in rows if r["what"] == what), key=lambda r: (r["family"], r["lengths"]))
    return table(
        ["noise", "memories", "samples", "two-sided", "upper", "lower", "width, median", "mean", "promise"],
        [
            [
                r["family"],
                str(r["lengths"] or "none"),
                str(r["n"]),
                *(percent(r[k]) for k in ("two_sided", "upper", "lower")),
                f"{r['width']:.2f}",
                f"{r['mean_width']:.2f}",
                mark(r),
            ]
            for r in chosen
        ],
    )


def frames_table(rows: list[Row]) -> str:
    """Coverage of averages over frames."""
    return table(
        [
            "errors",
            "sizes",
            "clusters",
            "two-sided",
            "upper",
            "lower",
            "plain t: two-sided",
            "upper",
            "width",
        ],
        [
            [
                r["errors"].replace("|", "\\|"),
                r["sizes"],
                str(r["clusters"]),
                *(percent(r[k]) for k in ("two_sided", "upper", "lower", "plain_two_sided", "plain_upper")),
                f"{r['width']:.2f}",
            ]
            for r in rows
        ],
    )


def judge_table(rows: list[Row]) -> str:
    """PASS and FAIL at half, once and twice the limit."""
    by_name: dict[str, dict[float, Row]] = {}
    for r in rows:
        by_name.setdefault(r["what"], {})[r["truth"]] = r
    return table(
        ["case", "PASS at L/2", "PASS at L", "PASS at 2 L", "FAIL at L/2", "FAIL at 2 L"],
        [
            [
                name.replace("|", "\\|"),
                *(percent(r[t]["pass"]) for t in (0.5, 1.0, 2.0)),
                *(percent(r[t]["fail"]) for t in (0.5, 2.0)),
            ]
            for name, r in by_name.items()
        ],
    )


def small_tables(data: dict[str, Row]) -> dict[str, str]:
    """Equilibration, autocorrelation time, families."""
    return {
        "equilibration": table(
            ["memories", "transient (sigma)", "dropped", "covered"],
            [
                [str(r["lengths"]), str(r["size"]), percent(r["dropped"]), percent(r["two_sided"])]
                for r in data["equilibration"]["rows"]
            ],
        ),
        "memory": table(
            ["memories", "estimated / exact tau"],
            [[str(r["lengths"]), f"{r['ratio']:.2f}"] for r in data["memory"]["rows"]],
        ),
        "families": table(
            ["true values / limit", "sigma / limit", "a false PASS", "a false FAIL"],
            [
                [
                    ", ".join(f"{t:g}" for t in r["truths"]),
                    f"{r['sigma']:g}",
                    percent(r["false_pass"]),
                    percent(r["false_fail"]),
                ]
                for r in data["families"]["rows"]
            ],
        ),
    }


def render(data: dict[str, Row]) -> None:
    """Tables between their markers in statistics.md, and the figure."""
    for row in data["series"]["rows"]:
        row["repeats"] = data["series"]["repeats"]
    tables = {
        "mean": series_table(data["series"]["rows"], "mean"),
        "slope": series_table(data["series"]["rows"], "slope"),
        "frames": frames_table(data["frames"]["rows"]),
        "judged_drift": judge_table(data["judged_drift"]["rows"]),
        "judged_errors": judge_table(data["judged_errors"]["rows"]),
        **small_tables(data),
    }
    page = HERE / "statistics.md"
    text = page.read_text()
    for name, body in tables.items():
        study = data["series" if name in ("mean", "slope") else name]
        error = 100 * (0.95 * 0.05 / study["repeats"]) ** 0.5
        caption = f"{study['date']}, {study['repeats']} repeats; binomial error of 95 %: {error:.2f} %."
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        found = re.subn(
            pattern, lambda m, b=body, c=caption: f"{m[1]}{c}\n\n{b}\n{m[2]}", text, flags=re.DOTALL
        )
        text = found[0]
        if found[1] != 1:
            raise SystemExit(f"{page}: expected one <!-- {name} --> ... <!-- end -->, found {found[1]}")
    page.write_text(text)
    figure(data["series"]["rows"])


def figure(rows: list[Row]) -> None:
    """Coverage against the length of the series in memories."""
    families = list(dict.fromkeys(r["family"] for r in rows if r["lengths"]))
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, what in zip(axes, ("mean", "slope"), strict=True):
        axis.axhspan(94, 96, color="0.9", label="94 to 96 %")
        for color, family in enumerate(families):
            line = [r for r in rows if r["what"] == what and r["family"] == family]
            x, y = [r["lengths"] for r in line], [100 * r["two_sided"] for r in line]
            style = {"lw": 1.6, "ls": "-"} if family in REQUIRED else {"lw": 0.8, "ls": "--"}
            axis.plot(x, y, label=family, color=f"C{color}", marker="o", ms=4, **style)
        axis.set(xscale="log", xlabel="length of the series (memories)", title=what, ylim=(89, 100.4))
    axes[0].set_ylabel("coverage of 95 % intervals (%)")
    axes[1].legend(fontsize=7, loc="lower right", ncols=2)
    fig.savefig(HERE / "statistics.png", dpi=110)


def main() -> None:
    """Measure, store, render."""
    parser = argparse.ArgumentParser(description="Coverage of error bars and errors of the judge")
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--only", nargs="*", choices=list(STUDIES), help="measure these, keep the others")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    options = parser.parse_args()
    store = HERE / "statistics.json"
    data = json.loads(store.read_text()) if store.exists() else {}
    for name in [] if options.render else options.only or list(STUDIES):
        today = datetime.date.today().isoformat()
        data[name] = {"repeats": options.repeats, "date": today, "rows": STUDIES[name](options.repeats)}
        store.write_text(json.dumps(data, indent=1) + "\n")
    if set(data) == set(STUDIES):
        render(data)


if __name__ == "__main__":
    main()
