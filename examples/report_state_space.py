"""What `report.py` writes of `gaps.py`, `observations.py`, `covariates.py`, `going_on.py` and `calibration.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from report_tables import commits, header, line, summary

GAPS_TEXT = """
Root mean squared errors of hidden cells in units of the climatological standard deviation of these cells; see
`examples/gaps.py` for the masks and the peers. "interpolation" is of the values of each cell in time, "of anomalies"
of what is left without the climatology.
"""
FILLED = {
    "`reconstruct`": "reconstruct",
    "DINEOF": "dineof",
    "kriging": "kriging",
    "interpolation": "interpolation",
    "of anomalies": "interpolation of anomalies",
    "forecast from before": "filtered",
    "exact smoother": "exact",
}
CALIBRATION_TEXT = """
How often what came after training lay inside the central intervals of `predict_quantiles`, as `fit` has calibrated
them. The bar is 3 points. What equals several quantiles, as no rain does, counts as drawn among their levels.
"""
GOING_ON_TEXT = """
A `CNMMForecaster` of the first half of the training part; the same gone on with on the second half, in a tenth of the
steps; one of the second half alone, from nothing; and one of both halves. Errors one step ahead of what follows, MSE x
1e4, and seconds of training.
"""
LEVELS = ("50%", "90%")
CALIBRATED = "air,era5,precipitation,turbulence,sst"
PEERS = ("climatology", "dineof", "kriging", "interpolation", "interpolation of anomalies")


def state_space_parts(found: dict[str, Any]) -> list[str]:
    """Return the sections on filled gaps, known errors and faults, covariates and intervals."""
    parts = []
    if "gaps" in found:
        parts += ["## Gaps filled", GAPS_TEXT, gaps_table(found["gaps"])]
    if "observations" in found:
        parts += ["## Known errors of observations, and faults", observations_table(found["observations"])]
    if "covariates" in found:
        parts += ["## Covariates on air temperature", covariates_table(found["covariates"])]
    if "going_on" in found:
        parts += ["## Going on with a model", GOING_ON_TEXT, going_on_table(found["going_on"])]
    if "calibration" in found:
        parts += ["## Do intervals hold?", CALIBRATION_TEXT, calibration_table(found["calibration"])]
    return parts


def calibration_table(results: dict[str, Any]) -> str:
    """Return the coverage of both intervals by series and lead."""
    leads = sorted({lead for run in results.values() for lead in run["coverage"]}, key=int)
    lines = header(["coverage of 50 / 90 % [%]", *(f"lead {lead}" for lead in leads), "seeds", "commit"])
    for name in dict.fromkeys(key.rpartition("/")[0] for key in results):
        runs = [run for key, run in results.items() if key.rpartition("/")[0] == name]
        cells = [
            " / ".join(f"{100 * np.median([run['coverage'][lead][level] for run in runs]):.1f}" for level in LEVELS)
            if all(lead in run["coverage"] for run in runs)
            else ""
            for lead in leads
        ]
        lines.append(line([name.replace("/", ", "), *cells, str(len(runs)), commits(runs)]))
    return "\n".join([*lines, "", f"`python examples/calibration.py {CALIBRATED} --threads 1 --out docs/results`", ""])


def going_on_table(results: dict[str, Any]) -> str:
    """Return errors and seconds by series."""
    ways = ("earlier half", "gone on", "later half, from nothing", "from nothing")
    titles = ["earlier half", "gone on with the later half", "the later half from nothing", "both from nothing"]
    lines = header(["", *titles, "gone on / the later half from nothing", "seconds of both", "seeds", "commit"])
    for name in dict.fromkeys(key.rpartition("/")[0] for key in results):
        runs = [run for key, run in results.items() if key.rpartition("/")[0] == name]
        cells = [summary([run[way]["error"] for run in runs]) for way in ways]
        cells.append(summary([run["gone on"]["error"] / run[ways[2]]["error"] for run in runs]))
        seconds = [np.median([run[way]["training_seconds"] for run in runs]) for way in ways[1:3]]
        lines.append(line([name, *cells, " / ".join(f"{s:.0f}" for s in seconds), str(len(runs)), commits(runs)]))
    series = ",".join(dict.fromkeys(key.rpartition("/")[0] for key in results))
    return "\n".join([*lines, "", f"`python examples/going_on.py {series} --threads 1 --out docs/results`", ""])


def covariates_table(results: dict[str, Any]) -> str:
    """Return errors in the units of the data by covariate, and over those without."""
    lines = header(["MSE [K2], LinearForecaster", "lead 1", "lead 5", "lead 1 / without", "used", "commit"])
    for kind, run in results.items():
        cells = [summary([run[lead]]) for lead in ("1", "5")] + [summary([run["1"] / results["none"]["1"]])]
        lines.append(line([kind, *cells, {True: "yes", False: "no"}.get(run.get("used"), ""), commits([run])]))
    return "\n".join([*lines, "", "`python examples/covariates.py --threads 1 --out docs/results`", ""])


def gaps_table(results: dict[str, Any]) -> str:
    """Return errors by series and kind of gap."""
    titles = [*FILLED, "over the best peer", "CRPS", "exact CRPS", "coverage of 90 %", "seconds", "seeds", "commit"]
    lines = header(["", *titles])
    for name in dict.fromkeys(key.rpartition("/")[0] for key in results):
        runs = [run for key, run in results.items() if key.rpartition("/")[0] == name]
        cells = [summary([run[key] for run in runs]) if key in runs[0] else "" for key in FILLED.values()]
        cells.append(summary([run["reconstruct"] / min(run[peer] for peer in PEERS) for run in runs], 2))
        cells += [summary([run[key] for run in runs]) if key in runs[0] else "" for key in ("crps", "exact crps")]
        cells += [f"{100 * np.median([run['coverage'] for run in runs]):.1f} %"]
        cells += [summary([run["seconds"] for run in runs], 1), str(len(runs)), commits(runs)]
        lines.append(line([name.replace("/", ", "), *cells]))
    return "\n".join([*lines, "", "`python examples/gaps.py air,sst,heat --threads 1 --out docs/results`", ""])


def observations_table(results: dict[str, Any]) -> str:
    """Return what `observations.py` measured, a row for each part."""
    lines = header(["", "measured", "bar", "seeds", "commit"])
    rows = {
        "turbulence, errors 5 times larger in half of the cells: MSE with / without them known": ("turbulence", 0.85),
        "heat, the same": ("heat", 0.85),
        "turbulence, told a constant error / trained on such noise": ("constant", 1.03),
    }
    for title, (name, bar) in rows.items():
        runs = [run for key, run in results.items() if key.startswith(f"{name}/")]
        cells = [summary([run["ratio"] for run in runs]), str(bar), str(len(runs)), commits(runs)]
        lines.append(line([title, *cells]))
    runs = [run for key, run in results.items() if key.startswith("faults/")]
    for fault, title in (("swapped", "two fields swapped"), ("drifted", "a sensor that drifts")):
        cells = [f"{100 * np.median([run[fault] for run in runs]):.0f} %", "95 %", str(len(runs)), commits(runs)]
        lines.append(line([f"air, {title}: found at 1 % false alarms", *cells]))
    runs = [run for key, run in results.items() if key.startswith("conditions/")]
    for name in ("mean", "spread") if runs else ():
        worst = [max(run[name], key=lambda ratio: abs(ratio - 1)) for run in runs]  # of both leads
        cells = [summary(worst), "0.95 to 1.05", str(len(runs)), commits(runs)]
        lines.append(line([f"autoregression given its third step: {name} of members / exact", *cells]))
    return "\n".join([*lines, "", "`python examples/observations.py --threads 1 --out docs/results`", ""])
