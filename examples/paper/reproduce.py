"""Reproduce the paper's experiments and reach for their limits.

``python examples/paper/reproduce.py heat --models naive,convlstm,dmm,cnmm --variant default --seeds 3 --out results``
writes ``results/results.json`` after every model and seed, and the paper's figures. Run it again with the same
arguments and it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import evaluate
import experiments
import figures
import numpy as np
import torch

import gridcast as gc

MODELS = ("naive", "convlstm", "dmm", "cnmm")
CLASSES = {"convlstm": gc.ConvLSTMForecaster, "dmm": gc.DMMForecaster, "cnmm": gc.CNMMForecaster}
N_FILM = 9
# The paper's models and objectives with the budget and the schedule of the defaults, for two cores
SMALL = {"batch_size": 8, "max_epochs": 1000, "learning_rate": 1e-3, "training__schedule": "one_cycle"}
SMALL_OF: dict[str, dict[str, Any]] = {
    "cnmm": {"window": 12, "training__stride": 6, "patch_size": 36, "max_steps": 3000},
    "convlstm": {"window": 20, "training__stride": 10, "patch_size": 36, "context": 10, "max_steps": 1000},
    "dmm": {"window": 12, "training__stride": 6, "max_steps": 3000},
}
COMMIT = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": {}, "limits": {}}
    experiment = make(arguments)
    results |= {"experiment": arguments.experiment, "scale": arguments.scale, "unit": experiment.unit}
    for name, test in experiment.tests.items():
        if name not in results["limits"]:
            results["limits"][name] = evaluate.oracle_scores(test, experiment.factor)
        results["windows"] = test.series.sizes.get("sample", 1)
    if experiment.go_on is not None and "long run" not in results:
        start = evaluate.long_start(next(iter(experiment.tests.values())).series)
        results["long run"] = evaluate.describe(experiment.go_on(start.isel(time=-1), evaluate.LONG_RUN))
    for model_name in arguments.models.split(","):
        for seed in range(arguments.seeds if model_name != "naive" else 1):
            key = f"{model_name}/{arguments.variant}/{seed}"
            if key in results["runs"]:
                continue
            print(f"{key} ...", flush=True)
            results["runs"][key] = run(model_name, seed, experiment, arguments)
            write(results, path)
    write(results, path)
    print(table(results))
    draw(results, experiment, arguments.out)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=["heat", "precipitation", "cmap"])
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated (default: %(default)s)")
    parser.add_argument("--variant", choices=["paper", "default"], default="default")
    parser.add_argument("--scale", choices=["smoke", "small", "paper"], default="small")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="precip.pentad.mean.nc, for cmap")
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    return parser.parse_args()


def make(arguments: argparse.Namespace) -> experiments.Experiment:
    """Return the data of the experiment."""
    if arguments.experiment == "heat":
        return experiments.heat(arguments.scale)
    if arguments.experiment == "precipitation":
        return experiments.precipitation(arguments.scale)
    if arguments.data is None:
        raise SystemExit("cmap needs --data FILE: gridcast.datasets.fetch_cmap() downloads it")
    return experiments.cmap(arguments.scale, arguments.data)


def build(model: str, variant: str, scale: str, experiment: str, seed: int) -> Any:
    """Return an untrained forecaster; what differs from the defaults is written here."""
    if model == "naive":
        return gc.NaiveForecaster("persistence", random_state=seed)
    parameters: dict[str, Any] = {"random_state": seed, "verbose": 1}
    if variant == "paper":
        parameters |= gc.presets.paper(model, "heat" if experiment == "heat" else "cmap")  # type: ignore[arg-type]
        if scale != "paper":
            parameters |= SMALL | SMALL_OF[model]
    elif model != "dmm":
        parameters["patch_size"] = 36
    if experiment == "heat" and variant == "default":
        parameters["training__stride"] = (
            6  # windows of 12 steps from 30: a pass is shorter, so that there are more records
        )
    if scale == "smoke":
        parameters |= {"max_steps": 4}
    return CLASSES[model]().set_params(**parameters)


def run(
    model_name: str, seed: int, experiment: experiments.Experiment, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Fit, score and describe one forecaster."""
    model = build(model_name, arguments.variant, arguments.scale, arguments.experiment, seed)
    start = time.perf_counter()
    model.fit(experiment.train)
    fitted = time.perf_counter()
    found = evaluate.evaluate(model, experiment)
    keep_film(model, model_name, seed, experiment, arguments)
    history = getattr(model, "history_", [])
    return {
        "scores": found,
        "parameters": getattr(model, "n_parameters_", 0),
        "epochs": len(history),
        "fit_seconds": fitted - start,
        "predict_seconds": time.perf_counter() - fitted,
        "history": history,
        "settings": {k: str(v) for k, v in model.get_params(deep=False).items()},
    } | machine()


def machine() -> dict[str, Any]:
    """Return where and with what a figure was measured."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return {
        "commit": COMMIT,
        "versions": {"gridcast": gc.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{device}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
    }


def keep_film(
    model: Any, name: str, seed: int, experiment: experiments.Experiment, arguments: argparse.Namespace
) -> None:
    """Write truth and multi-step forecasts of nine samples, for the figures."""
    if seed:
        return
    for test_name, test in experiment.tests.items():
        series = evaluate.after_context(model, test.series)
        if "sample" in series.dims:
            n = series.sizes["sample"]
            series = series.isel(sample=np.linspace(0, n - 1, min(N_FILM, n)).astype(int))
        stride = max(1, (test.series.sizes["time"] - evaluate.CONTEXT - evaluate.HORIZON) // (N_FILM - 1))
        forecast = gc.backtest(model, series, evaluate.HORIZON, stride=stride)
        truth = evaluate.observed(forecast, series)
        order = [d for d in ("sample", "init_time") if d in forecast.dims]
        arrays = (a.transpose(*order, "lead_time", ...).values for a in (truth, forecast))
        low = experiment.data_range[0]
        scaled = [experiment.factor * (a.reshape(-1, *a.shape[-3:])[:N_FILM] - low) - 1 for a in arrays]
        folder = arguments.out / "films"
        folder.mkdir(exist_ok=True)
        np.savez_compressed(
            folder / f"{test_name.replace(' ', '_')}-{name}-{arguments.variant}.npz",
            truth=scaled[0],
            forecast=scaled[1],
        )


def write(results: dict[str, Any], path: Path) -> None:
    """Write atomically."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(results, indent=1))
    temporary.replace(path)


def median(results: dict[str, Any], test: str, name: str, of: str) -> Any:
    """Return the median over seeds of a score of ``model/variant``."""
    values = [r["scores"][test][of] for key, r in results["runs"].items() if key.rpartition("/")[0] == name]
    if isinstance(values[0], dict):
        return {k: float(np.median([v[k] for v in values])) for k in values[0]}
    return np.median(values, axis=0)


def names(results: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(key.rpartition("/")[0] for key in results["runs"]))


def table(results: dict[str, Any]) -> str:
    """Return medians over seeds, with the limit and the ratio to it."""
    unit, lines = results["unit"], []
    for test, limits in results["limits"].items():
        lines.append(
            f"{results['experiment']}, {test}: MSE / {unit:g} on data scaled to [-1, 1]; median (worst) of seeds"
        )
        columns = [f"L={k}" for k in evaluate.LENGTHS] + ["multi-step", "CRPS 1", "CRPS 20", "spread 1", "spread 20"]
        lines.append(" " * 42 + " ".join(c.rjust(10) for c in columns) + "  ratio to the limit")
        best = next(iter(limits.values()), None)
        for name, limit in limits.items():
            cells = [v / unit for v in limit["one_step"].values()] + [limit["multi_step_mean"] / unit]
            cells += [limit["crps"][0], limit["crps"][-1]]
            lines.append(name.ljust(42) + " ".join(f"{c:10.4g}" for c in cells))
        for name in names(results):
            one, crps = median(results, test, name, "one_step"), median(results, test, name, "crps")
            spread = median(results, test, name, "spread_skill")
            cells = [v / unit for v in one.values()] + [float(median(results, test, name, "multi_step_mean")) / unit]
            cells += [crps[0], crps[-1], spread[0], spread[-1]]
            line = name.ljust(42) + " ".join(f"{c:10.4g}" for c in cells)
            if best:
                ratios = one["5"] / best["one_step"]["5"], cells[4] * unit / best["multi_step_mean"]
                line += f"  {ratios[0]:.2f} one-step, {ratios[1]:.2f} multi-step"
            lines.append(line)
        lines.append("")
    return "\n".join(lines)


def draw(results: dict[str, Any], experiment: experiments.Experiment, out: Path) -> None:
    """Draw the paper's figures 4 to 11 from the results and the films."""
    for number, test in enumerate(experiment.tests):
        label = test.replace(" ", "_")
        limit = next(iter(results["limits"][test].values()), {}).get("one_step", {})
        scores = {name: median(results, test, name, "one_step") for name in names(results)}
        figures.bars(scores, experiment.unit, limit, out / f"figure_{4 + number}_one_step_{label}.png")
        films = {p.stem.removeprefix(f"{label}-"): np.load(p) for p in sorted((out / "films").glob(f"{label}-*.npz"))}
        if not films:
            continue
        truth = next(iter(films.values()))["truth"]
        forecasts = {name: film["forecast"] for name, film in films.items()}
        figures.squared_errors(truth, forecasts, out / f"figure_{6 + number}_samples_{label}.png")
        figures.error_maps(truth, forecasts, out / f"figure_{8 + number}_error_{label}.png")
        figures.film(truth, forecasts, out / f"figure_{10 + number}_film_{label}.png")


if __name__ == "__main__":
    main()
