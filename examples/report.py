"""Write ``docs/results.md`` from the files in ``docs/results``: no figure in it is typed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
HEAD = """# Results

Written by `python examples/report.py` from the files in `docs/results/`, which hold every seed, its training history,
settings, versions, commit and machine. Mean squared errors are of data scaled to [-1, 1]. A cell is the median over
seeds, with the worst seed in brackets. Parameters are the defaults of each class unless a line says otherwise.
"""
NAMES = {"lim": "linear inverse model (60 components, order 2)", "cnmm": "CNMM", "convlstm": "ConvLSTM", "dmm": "DMM"}
TITLES = {
    "air": "Six-hourly air temperature over North America (25 x 53)",
    "era5": "Hourly 2 m temperature over the United Kingdom (33 x 49)",
    "sst": "Monthly sea-surface temperature of the globe, land missing (89 x 180)",
}
HEAT_TEXT = """
Trained on 30 simulations of emission 1 (900 windows of 30 steps), tested on 75 windows of 25 other simulations, evenly
drawn from the 750 of the paper's protocol. The Kalman filter knows the equation and ignores that the data are clipped.
Bars: one-step 0.56 and multi-step 0.85 on emission 1, one-step 4.10 on emission 2, CRPS within a tenth of the filter's,
spread-skill ratio 0.9 to 1.1.
"""
REAL_TEXT = """
Trained on the first 70 % of the steps, tested on the rest; multi-step forecasts start every fifth step.
"""


def main() -> None:
    parts = [HEAD]
    heat = RESULTS / "heat" / "results.json"
    if heat.exists():
        parts += ["## Heat equation (the paper's experiment)", HEAT_TEXT, heat_tables(json.loads(heat.read_text()))]
    for name, title in TITLES.items():
        path = RESULTS / f"real_{name}.json"
        if path.exists():
            parts += [f"## {title}", REAL_TEXT, real_table(name, json.loads(path.read_text()))]
    notes = RESULTS / "notes.md"
    if notes.exists():
        parts.append(notes.read_text())
    (RESULTS.parent / "results.md").write_text("\n".join(part.strip("\n") + "\n" for part in parts))


def heat_tables(results: dict[str, Any]) -> str:
    """Return a table for each emission."""
    out = []
    for test, limits in results["limits"].items():
        rows = [(f"{name} (limit)", [limit], []) for name, limit in limits.items()]
        for name in dict.fromkeys(key.rpartition("/")[0] for key in results["runs"]):
            runs = [run for key, run in results["runs"].items() if key.rpartition("/")[0] == name]
            label = f"{NAMES.get(name.partition('/')[0], name.partition('/')[0])}, {len(runs)} seed(s)"
            rows.append((label, [run["scores"][test] for run in runs], runs))
        columns = [
            "L = 5",
            "L = 10",
            "L = 15",
            "L = 20",
            "leads 1 to 20",
            "CRPS lead 1",
            "CRPS lead 20",
            "spread-skill",
        ]
        lines = [f"### {test}, MSE x 1e4", "", *header(["", *columns, "fit [s]", "commit"])]
        for label, scores, runs in rows:
            cells = [summary([1e4 * s["one_step"][k] for s in scores]) for k in ("5", "10", "15", "20")]
            cells.append(summary([1e4 * s["multi_step_mean"] for s in scores]))
            cells += [summary([s["crps"][k] for s in scores], 5) for k in (0, -1)]
            ratios = [r for s in scores for r in s.get("spread_skill", [])]
            cells.append(f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else "")
            cells += [summary([r["fit_seconds"] for r in runs], 0) if runs else "", commits(runs)]
            lines.append(line([label, *cells]))
        out.append("\n".join(lines) + "\n")
    machines = sorted({run["machine"] for run in results["runs"].values()})
    command = (
        "python examples/paper/reproduce.py heat --models naive,cnmm --seeds 3 --threads 1 --out docs/results/heat"
    )
    return "\n".join([*out, f"`{command}`; {'; '.join(machines)}.", ""])


def real_table(name: str, results: dict[str, Any]) -> str:
    """Return the table of a real series."""
    horizon = min(len(run["multi_step"]) for run in results.values())
    leads = [k for k in (1, 5, 10, 20) if k <= horizon]
    lines = header(["MSE x 1e4", "one-step", *(f"lead {k}" for k in leads), "spread-skill", "fit [s]", "commit"])
    for model in dict.fromkeys(key.partition("/")[0] for key in results):
        runs = [run for key, run in results.items() if key.partition("/")[0] == model]
        cells = [summary([1e4 * r["one_step"] for r in runs])]
        cells += [summary([1e4 * r["multi_step"][k - 1] for r in runs]) for k in leads]
        ratios = [v for r in runs for v in r.get("spread_skill", [])]
        cells.append(f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else "")
        cells += [summary([r["fit_seconds"] for r in runs], 0), commits(runs)]
        lines.append(line([f"{NAMES.get(model, model)}, {len(runs)} seed(s)", *cells]))
    land = [r["land_stays_missing"] for r in results.values() if "land_stays_missing" in r]
    machines = sorted({run["machine"] for run in results.values()})
    command = f"python examples/benchmark_real.py {name} --seeds 3 --threads 1 --out docs/results"
    text = f"`{command}`; {'; '.join(machines)}."
    if name == "sst":
        text += f" Land stays missing in every forecast: {all(land)}."
    return "\n".join([*lines, "", text, ""])


def summary(values: list[float], digits: int = 3) -> str:
    """Return the median and the worst of values."""
    median, worst = float(np.median(values)), max(values)

    def show(value: float) -> str:
        return f"{value:.{digits}f}" if value < 10 or not digits else f"{value:.1f}"

    return show(median) if len(values) == 1 else f"{show(median)} ({show(worst)})"


def commits(runs: list[dict[str, Any]]) -> str:
    return ", ".join(sorted({run["commit"] for run in runs}))


def header(cells: list[str]) -> list[str]:
    return [line(cells), "|" + "---|" * len(cells)]


def line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
