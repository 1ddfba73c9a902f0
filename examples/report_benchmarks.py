"""What `report.py` writes of `benchmark.py`, `slices.py` and `curve.py`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from report_tables import NAMES, commits, header, line, span, summary

TITLES = {
    "air": "Six-hourly air temperature over North America (25 x 53)",
    "era5": "Hourly 2 m temperature over the United Kingdom (33 x 49)",
    "sst": "Monthly sea-surface temperature of the globe, land missing (89 x 180)",
    "precipitation": "Made precipitation by pentads, 5 degrees (36 x 72)",
    "precipitation_log1p": "The same through log(1 + x)",
    "turbulence": "Two-dimensional turbulence on a torus (64 x 64)",
    "turbulence_1800": "The same turbulence, half an hour of training",
}
REAL_TEXT = """
Trained on the first 70 % of the steps, tested on the rest; multi-step forecasts start every fifth step.
"""
TURBULENCE_TEXT = """
`gridcast.datasets.make_turbulence`: trained on 64 simulations of 30 fields, tested on 16 others of which ten fields are
given. Errors are in units of the variance of the training fields; one-step forecasts are of the last 20 fields, from
those before each, and from those with noise of a tenth of the standard deviation.
"""
ENSEMBLE_TEXT = """
Ranges are over leads and seeds. Gaussian: of the same mean, with the spread of held-out errors. Fifths: spread over
error by predicted spread, where one half of the members says which fifth and the other how large the spread is there;
in brackets, all members do both. Slope: of error against spread through the fifths. Coverage: of central intervals.
Zeros: how often members are at the smallest value, over how often the truth is.
"""
SLICES_TEXT = """
Trained on the first 70 % of a slice, tested on the rest: mean squared error over that of the best of persistence,
climatology, damped persistence and LinearForecaster at that lead, which is named. Median (worst) of seeds.
"""
CURVE_TEXT = """
Error one step ahead in the last tenth of the training part (of turbulence, simulations), which no training here saw;
seconds of the whole fit in brackets. Each training was given the seconds of its column, seed 0.

![Held-out error against seconds](results/curve.svg)
"""
FLOWS = {"turbulence": "turbulence", "turbulence_1800": "turbulence, 1800 s"}
OTHERS = ("persistence", "climatology", "damped", "linear")


def benchmark_parts(found: dict[str, Any]) -> list[str]:
    """Return the sections of the benchmarks whose results there are."""
    parts, right = [], []
    for name, title in TITLES.items():
        results = found.get(f"real_{name}")
        if not results:
            continue
        text = TURBULENCE_TEXT if name in FLOWS else REAL_TEXT
        parts += [f"## {title}", text, real_table(name, results)]
        if any("coverage" in run for run in results.values()):
            right += [f"### {title}", ensemble_table(name, results)]
    if right:
        parts += ["## Are the ensembles right?", ENSEMBLE_TEXT, *right]
    if "slices" in found:
        parts += ["## Short slices", SLICES_TEXT, slices_table(found["slices"])]
    if "curve" in found:
        parts += ["## What seconds of training buy", CURVE_TEXT, curve_table(found["curve"])]
    return parts


def real_table(name: str, results: dict[str, Any]) -> str:
    """Return the table of a real series."""
    horizon = min(len(run["multi_step"]) for run in results.values())
    leads = [k for k in (1, 5, 10, 20) if k <= horizon]
    turbulent = name in FLOWS
    unit, scale = ("NMSE", 1.0) if turbulent else ("MSE x 1e4", 1e4)
    last = "one-step from noisy fields" if turbulent else "spread-skill"
    lines = header([unit, "one-step", *(f"lead {k}" for k in leads), last, "fit [s]", "commit"])
    for model in dict.fromkeys(key.partition("/")[0] for key in results):
        runs = [run for key, run in results.items() if key.partition("/")[0] == model]
        digits = 4 if turbulent else 3
        cells = [summary([scale * r["one_step"] for r in runs], digits)]
        cells += [summary([scale * r["multi_step"][k - 1] for r in runs], digits) for k in leads]
        cells += [
            summary([r["noisy"] for r in runs], digits)
            if turbulent
            else span([v for r in runs for v in r.get("spread_skill", [])])
        ]
        cells += [summary([r["fit_seconds"] for r in runs], 0), commits(runs)]
        lines.append(line([f"{NAMES.get(model, model)}, {len(runs)} seed(s)", *cells]))
    land = [r["land_stays_missing"] for r in results.values() if "land_stays_missing" in r]
    text = command_of(name, results)
    if name == "sst":
        text += f" Land stays missing in every forecast: {all(land)}."
    return "\n".join([*lines, "", text, ""])


def command_of(name: str, results: dict[str, Any]) -> str:
    """Return how the results of a series were made, and where."""
    given = "".join(f" --seconds {s:g}" for s in {run["seconds"] for run in results.values() if run.get("seconds")})
    seeds = max(int(key.rpartition("/")[2]) for key in results) + 1
    command = f"python examples/benchmark.py {name} --seeds {seeds}{given} --threads 1 --out docs/results"
    return f"`{command}`; {machines_of(results)}"


def ensemble_table(name: str, results: dict[str, Any]) -> str:
    """Return how right the ensembles of a series are."""
    runs = {key: run for key, run in results.items() if "coverage" in run}
    horizon, members = (max(of) for of in zip(*((len(r["crps"]), r["n_members"]) for r in runs.values()), strict=True))
    columns = ["CRPS / Gaussian, lead 1", f"lead {horizon}", "spread-skill", "fifths", "slope"]
    columns += ["coverage of 50 %", "of 90 %", "zeros"]
    lines = header(["", *columns])
    for model in dict.fromkeys(key.partition("/")[0] for key in runs):
        own = [run for key, run in runs.items() if key.partition("/")[0] == model]
        ratios = [np.divide(run["crps"], run["crps_gaussian"]) for run in own]
        cells = [summary([float(ratio[k]) for ratio in ratios]) for k in (0, -1)]
        cells.append(span([v for run in own for v in run["spread_skill"]]))
        fair, plain = ([v for run in own for five in run[key] for v in five] for key in ("fifths", "fifths_plain"))
        cells += [f"{span(fair)} ({span(plain)})", span([v for run in own for v in run["slope"]])]
        cells += [span([100 * v for run in own for v in run["coverage"][level]], 0) for level in ("0.5", "0.9")]
        zeros = [np.divide(run["zeros"]["members"], run["zeros"]["truth"]).tolist() for run in own if "zeros" in run]
        cells.append(span([v for run in zeros for v in run]))
        lines.append(line([f"{NAMES.get(model, model)}, {len(own)} seed(s)", *cells]))
    seconds = span([run["fit_seconds"] for run in runs.values()], 0)
    text = f"{members} members; fits of {seconds} seconds. {command_of(name, results)}"
    return "\n".join([*lines, "", text, ""])


def slices_table(results: dict[str, Any]) -> str:
    """Return the error of the CNMM over that of the best of the others, by slice and lead."""
    lines = header(["", "steps", "lead 1", "lead 5", "lead 10", "lead 20", "fit [s]", "seeds", "commit"])
    for name in dict.fromkeys(key.rpartition("/")[0] for key in results):
        runs = [run for key, run in results.items() if key.rpartition("/")[0] == name]
        cells = []
        for k in range(len(runs[0]["leads"])):
            best = min(OTHERS, key=lambda other, k=k, run=runs[0]: run["mse"][other][k])  # type: ignore[misc]
            cells.append(f"{summary([run['ratio'][k] for run in runs])}, {best}")
        cells += [""] * (4 - len(cells))
        cells.append(summary([run["fit_seconds"]["cnmm"] for run in runs], 0))
        lines.append(line([name, str(runs[0]["n_times"]), *cells, str(len(runs)), commits(runs)]))
    worst = max(itertools.chain.from_iterable(run["ratio"] for run in results.values()))
    seeds = max(int(key.rpartition("/")[2]) for key in results) + 1
    text = f"Largest ratio: {worst:.3f}. `python examples/slices.py --seeds {seeds} --threads 1 --out docs/results`; "
    return "\n".join([*lines, "", text + machines_of(results), ""])


def curve_table(results: dict[str, Any]) -> str:
    """Return held-out errors by seconds of training."""
    budgets = sorted({run["budget"] for run in results.values() if run["budget"]})
    lines = header(["", *(f"{budget:g} s" for budget in budgets), "commit"])
    for series, name in dict.fromkeys(tuple(key.split("/")[:2]) for key in results):
        runs = {run["budget"]: run for key, run in results.items() if key.startswith(f"{series}/{name}/")}
        # what trains in no given time has the same error in each
        cells = [runs.get(budget, runs.get(0.0)) for budget in budgets]
        shown = [f"{run['error']:.4g} ({run['fit_seconds']:.0f} s)" if run else "" for run in cells]
        lines.append(line([f"{series}: {NAMES.get(name, name)}", *shown, commits(list(runs.values()))]))
    text = "Air and rain: MSE x 1e4 on scaled data; turbulence: in units of the variance. "
    text += "`python examples/curve.py --threads 1 --out docs/results`; "
    return "\n".join([*lines, "", *time_to_accuracy(results), "", text + machines_of(results), ""])


def time_to_accuracy(results: dict[str, Any]) -> list[str]:
    """Return the lines of a table of seconds until an error is within 3 % of the CNMM's last one."""
    lines = header(["seconds of fit until within 3 % of the CNMM's last error", "CNMM", "U-Net", "ConvLSTM"])
    for series in dict.fromkeys(key.split("/")[0] for key in results):
        runs = {
            name: [run for key, run in results.items() if key.startswith(f"{series}/{name}/")]
            for name in ("cnmm", "unet", "convlstm")
        }
        if not runs["cnmm"]:
            continue
        level = 1.03 * max(runs["cnmm"], key=lambda run: float(run["budget"]))["error"]
        lines.append(line([series, *(_reached(of, level) for of in runs.values())]))
    return lines


def _reached(runs: list[dict[str, Any]], level: float) -> str:
    seconds = [run["fit_seconds"] for run in runs if run["error"] <= level]
    if seconds:
        return f"{min(seconds):.0f}"
    return f"not in {max(run['fit_seconds'] for run in runs):.0f}" if runs else ""


def machines_of(results: dict[str, Any]) -> str:
    return "; ".join(sorted({run["machine"] for run in results.values()})) + "."
