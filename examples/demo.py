"""Train the forecasters on a gridded archive, compare them in one table, and write a forecast and figures.

``python examples/demo.py`` makes a CMAP-like precipitation archive; ``--data FILE [--variable NAME]`` takes yours.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import xarray as xr

import gridcast as gc

LEADS = (1, 5, 10, 20)
EPOCHS = 4


def main() -> None:
    arguments = parse()
    mpl.use("Agg")
    arguments.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    series = open_series(arguments.data, arguments.variable)
    train, test = gc.train_test_split(series, test_fraction=0.3)
    print(f"{series.name}: {dict(series.sizes)}, {len(train)} steps to train on, {len(test)} to test on\n", flush=True)

    rows, errors, forecasts, ensembles, fitted = {}, {}, {}, {}, {}
    for name, model in models(train, arguments).items():
        print(f"{name} ...", flush=True)
        start = time.perf_counter()
        fitted[name] = model.fit(train)
        rows[name] = {"fit s": time.perf_counter() - start}
        errors[name], forecasts[name], ensembles[name] = evaluate(model, test, rows[name])
    add_skill(rows)
    table = format_table(rows, str(series.attrs.get("units", "")))
    print("\n" + table)
    (arguments.out / "table.txt").write_text(table + "\n")

    best = fitted["CNMM"].update(test)
    write_forecast(best, arguments.out / "forecast.nc")
    write_figures(arguments.out, test, errors, forecasts["CNMM"], ensembles["CNMM"], fitted["CNMM"])
    print(f"\n{arguments.out}: {', '.join(sorted(p.name for p in arguments.out.iterdir()))}")
    print(f"done in {time.perf_counter() - began:.0f} s")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="NetCDF file or Zarr store with (time, y, x); a made archive by default"
    )
    parser.add_argument("--variable", help="variable of the file; needed where it holds several")
    parser.add_argument("--out", type=Path, default=Path("demo_output"), help="folder for forecast and figures")
    parser.add_argument("--steps", type=int, default=60, help="training steps per model (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def open_series(path: Path | None, variable: str | None) -> xr.DataArray:
    """Return the series of a file, or a made archive of 10 years of pentads, cells of 7.5 degrees."""
    if path is None:
        return gc.datasets.make_precipitation(n_times=730, shape=(24, 48), random_state=0)
    if not path.exists():
        sys.exit(f"--data {path}: no such file")
    dataset = xr.open_dataset(path, chunks={}, engine="zarr" if path.is_dir() else None)
    gridded = [name for name, v in dataset.data_vars.items() if "time" in v.dims and v.ndim >= 3]
    if variable is None and len(gridded) == 1:
        variable = str(gridded[0])
    if variable not in dataset:
        sys.exit(f"--variable {variable}: {path} holds {gridded}; name one of them")
    return dataset[variable]


def models(train: xr.DataArray, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the forecasters, each with a budget of about `steps` training steps."""
    budget = {"max_epochs": 1000, "max_steps": arguments.steps, "batch_size": 4, "random_state": arguments.seed}
    # A pass over a long archive is cut, so that there are a few records to draw.
    stride = max(1, EPOCHS * len(train) // (4 * arguments.steps))
    budget["training"] = gc.Training(stride=stride)
    # The latent vector of the DMM needs whole fields: fewer of them in a step.
    rows, columns = train.shape[-2:]
    whole_fields = max(1, min(4, 4 * 4 * 32 * 32 // (rows * columns)))
    return {
        "persistence": gc.NaiveForecaster("persistence", random_state=arguments.seed),
        "climatology": gc.NaiveForecaster("climatology", random_state=arguments.seed),
        "linear": gc.LinearForecaster(random_state=arguments.seed),
        "ConvLSTM": gc.ConvLSTMForecaster(**budget, patch_size=32),
        "DMM": gc.DMMForecaster(**budget | {"batch_size": whole_fields}),
        "CNMM": gc.CNMMForecaster(**budget, patch_size=32),
    }


def evaluate(model: Any, test: xr.DataArray, row: dict[str, float]) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Fill a row of the table; return the MSE by lead, the first multi-step forecast, and some ensembles."""
    horizon = max(LEADS)
    start = time.perf_counter()
    row["one-step"] = float(gc.metrics.mse(*aligned(gc.backtest(model, test, 1), test)))
    multi = gc.backtest(model, test, horizon, stride=max(1, len(test) // 40))
    errors = gc.metrics.mse(*aligned(multi, test), dim=[d for d in multi.dims if d != "lead_time"])
    row |= {f"lead {k}": float(errors.sel(lead_time=k)) for k in LEADS}
    ensemble = gc.backtest(model, test, horizon, stride=max(1, len(test) // 8), n_samples=20)
    row["CRPS"] = float(gc.metrics.crps(*aligned(ensemble, test)))
    row["predict s"] = time.perf_counter() - start
    return errors, multi.isel(init_time=0), ensemble


def aligned(forecast: xr.DataArray, observed: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return a backtest and what was observed at the times that it forecasts."""
    return forecast, observed.sel(time=forecast.time).load()


def add_skill(rows: dict[str, dict[str, float]]) -> None:
    """Add the one-step skill against both references."""
    for row in rows.values():
        for reference in ("persistence", "climatology"):
            row[f"skill vs {reference}"] = 1 - row["one-step"] / rows[reference]["one-step"]


def format_table(rows: dict[str, dict[str, float]], units: str) -> str:
    columns = ["one-step", *(f"lead {k}" for k in LEADS), "CRPS", "skill vs persistence", "skill vs climatology"]
    columns += ["fit s", "predict s"]
    widths = [max(len(c), 9) for c in columns]
    lines = [
        f"MSE in ({units})^2: one-step over the test steps, multi-step by lead; CRPS in {units}, mean over 20 leads",
        " " * 12 + "  ".join(c.rjust(w) for c, w in zip(columns, widths, strict=True)),
    ]
    for name, row in rows.items():
        cells = (f"{row[c]:.4g}" if "skill" not in c else f"{row[c]:+.3f}" for c in columns)
        lines.append(name.ljust(12) + "  ".join(c.rjust(w) for c, w in zip(cells, widths, strict=True)))
    return "\n".join(lines)


def write_forecast(model: Any, path: Path) -> None:
    """Write the 20 steps after the archive: predictive mean and quantiles, with CF attributes."""
    mean = model.predict(20)
    name = str(mean.name or "forecast")
    quantiles = model.predict_quantiles(20)
    dataset = xr.Dataset({name: mean, f"{name}_quantile": quantiles.rename(f"{name}_quantile")})
    long_name = mean.attrs.get("long_name", name)
    for variable, text in ((name, "predictive mean"), (f"{name}_quantile", "predictive quantile")):
        kept = {k: v for k, v in mean.attrs.items() if k in ("units", "standard_name")}
        dataset[variable].attrs = kept | {"long_name": f"{text} of {long_name}"}
    dataset["quantile"].attrs = {"long_name": "probability", "units": "1"}
    dataset["time"].attrs |= {"standard_name": "time", "axis": "T"}
    dataset.attrs = {
        "Conventions": "CF-1.11",
        "title": f"Forecast of {long_name}",
        "source": f"gridcast {gc.__version__}, {type(model).__name__}",
        "history": f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {' '.join(Path(a).name for a in sys.argv)}",
    }
    dataset.to_netcdf(path)


def write_figures(
    out: Path,
    test: xr.DataArray,
    errors: dict[str, xr.DataArray],
    forecast: xr.DataArray,
    ensemble: xr.DataArray,
    model: Any,
) -> None:
    """Draw maps of one forecast, error by lead time, how good the ensemble is, and the training."""
    verified = aligned(ensemble, test)
    while forecast.ndim > 3:
        forecast, test = forecast[:, 0], test[:, 0]
    observed = test.sel(time=forecast.time)
    steps = forecast.time.values[[k - 1 for k in LEADS]]
    figures = {
        "maps.png": gc.plotting.plot_maps(observed, forecast, times=list(steps)).flat[0],
        "error_by_lead.png": gc.plotting.plot_error_by_lead(errors),
        "spread_skill.png": gc.plotting.plot_spread_skill(*verified),
        "rank_histogram.png": gc.plotting.plot_rank_histogram(*verified),
        "training.png": gc.plotting.plot_history(model.history_).flat[0],
    }
    for name, ax in figures.items():
        ax.figure.savefig(out / name, dpi=110)


if __name__ == "__main__":
    main()
