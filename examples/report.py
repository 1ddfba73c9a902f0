"""Write ``docs/results.md`` from the files in ``docs/results``: no figure in it is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from report_benchmarks import FLOWS, benchmark_parts
from report_state_space import state_space_parts
from report_tables import NAMES, commits, header, line, span, summary

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
HEAD = """# Results

Written by `python examples/report.py` from the files in `docs/results/`, which hold every seed, its training history,
settings, versions, commit and machine. Mean squared errors are of data scaled to [-1, 1]. A cell is the median over
seeds, with the worst seed in brackets. Parameters are the defaults of each class unless a line says otherwise.
"""
HEAT_TEXT = """
Trained on 30 simulations of emission 1 (900 windows of 30 steps), tested on {windows} windows of 25 other simulations,
evenly drawn from the 750 of the paper's protocol. The Kalman filter knows the equation and ignores that the data are
clipped. "Paper" is the paper's architecture and objective, with the budget and the learning-rate schedule of the
defaults.
"""
PRECIPITATION_TEXT = """
`gridcast.datasets.make_precipitation`, 2774 pentads of 72 x 72 cells, cut as the paper cuts CMAP: 1901 training windows
of 30 steps and 815 test windows that share no step with them. No limit is known; climatology is not in the paper.
"""
# MSE x 1e4 by lead, 0 one step ahead with data assimilation
REAL_BARS = {
    "air": {0: 5.6, 5: 25.0, 10: 43.0, 20: 55.0},
    "era5": {0: 6.5, 5: 97.0, 10: 190.0, 20: 140.0},
    "sst": {0: 3.6, 5: 7.8},
}
# row -> part, figure and bar
LARGE = {
    "500 fields of 40 channels of 32 x 64: fit of 20 steps [s]": ("channels", "seconds", ""),
    "its peak memory above the process [GiB]": ("channels", "gib", "1.86"),
    "720 fields of 721 x 1440 from Zarr: fit of 20 steps [s]": ("globe", "fit_seconds", ""),
    "its peak memory, of the whole process [GiB]": ("globe", "fit_gib", "6"),
    "24 steps ahead [s]": ("globe", "predict_seconds", ""),
    "their peak memory [GiB]": ("globe", "predict_gib", "6"),
    "five members of them [s]": ("globe", "samples_seconds", ""),
    "their peak memory [GiB], five members": ("globe", "samples_gib", "6"),
    "bands against whole fields, largest relative difference": ("bands", "difference", "1e-5"),
    "bands against whole fields, time": ("bands", "time", "1.3"),
    "bytes read by a search of 3 candidates and 3 folds / size of the store": ("search", "read", "3"),
}
FLOW_BARS: dict[str, tuple[Callable[[dict[str, Any]], float], float]] = {
    "one-step": (lambda r: r["one_step"], 0.8),
    "one-step from noisy fields": (lambda r: r["noisy"], 0.7),
    "lead 5": (lambda r: r["multi_step"][4], 0.9),
    "lead 10": (lambda r: r["multi_step"][9], 0.9),
    "lead 20": (lambda r: r["multi_step"][19], 0.9),
}
Reading = Callable[[dict[str, Any]], float]
LENGTHS = ("5", "10", "15", "20")


def main() -> None:
    found = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    found |= {path.parent.name: json.loads(path.read_text()) for path in RESULTS.glob("*/results.json")}
    parts = [HEAD, bars_table(found)]
    if "heat" in found:
        text = HEAT_TEXT.format(windows=found["heat"].get("windows", 75))
        parts += ["## Heat equation (the paper's experiment)", text, paper_tables(found["heat"])]
    if "precipitation" in found:
        parts += ["## Made precipitation like CMAP's", PRECIPITATION_TEXT, paper_tables(found["precipitation"])]
    parts += benchmark_parts(found)
    parts += state_space_parts(found)
    if "linear" in found:
        parts += ["## The linear model against what is obvious", linear_table(found["linear"])]
    if "speed" in found:
        parts += ["## Speed and memory", *speed_tables(found)]
    if "ablation" in found:
        parts += ["## What each choice is worth", ablation_table(found["ablation"])]
        if "real" in found["ablation"]:
            parts += ["## What each mechanism is worth on real series", real_ablation_table(found["ablation"]["real"])]
    notes = RESULTS / "notes.md"
    if notes.exists():
        parts.append(notes.read_text())
    (RESULTS.parent / "results.md").write_text("\n".join(part.strip("\n") + "\n" for part in parts))


def bars_table(found: dict[str, Any]) -> str:
    """Return each bar of the default CNMM beside what was measured."""
    lines = [
        "## The default CNMM against its bars",
        "",
        *header(["", "bar", "median", "worst seed", "reached", "commit"]),
    ]
    for label, (runs, read, bar) in bars(found).items():
        values = [read(run) for run in runs]
        median = float(np.median(values))
        reached = "yes" if median <= bar else f"no, {median / bar - 1:.1%} above"
        lines.append(line([label, f"{bar:.4g}", f"{median:.4g}", f"{max(values):.4g}", reached, commits(runs)]))
    lines.append("")
    lines.append(
        "Errors are in units of 1e-4; CRPS and its bars are relative to the Kalman filter's, turbulence to peers that\n"
        "had the same seconds. Rows of a commit before 346ba20 are of the former transition: the present one was\n"
        "not measured there."
    )
    return "\n".join(lines) + "\n"


def bars(found: dict[str, Any]) -> dict[str, tuple[list[dict[str, Any]], Reading, float]]:
    """Return by label the runs, how to read the figure of a run, and its bar."""
    out: dict[str, tuple[list[dict[str, Any]], Reading, float]] = {}
    if "heat" in found:
        runs = [r for key, r in found["heat"]["runs"].items() if key.startswith("cnmm/default/")]
        limit = found["heat"]["limits"]["emission 1"]["Kalman filter"]

        def worst_length(test: str) -> Reading:
            return lambda run: 1e4 * max(run["scores"][test]["one_step"][k] for k in LENGTHS)

        def crps(lead: int) -> Reading:
            return lambda run: run["scores"]["emission 1"]["crps"][lead] / limit["crps"][lead]

        out["heat, emission 1, one-step, every L"] = runs, worst_length("emission 1"), 0.515
        out["heat, emission 2, one-step, every L"] = runs, worst_length("emission 2"), 4.03
        out["heat, emission 1, mean over leads 1 to 20"] = runs, lambda r: 1e4 * lead_mean(r), 0.76
        out["heat, emission 1, CRPS at lead 1 / filter's"] = runs, crps(0), 1.1
        out["heat, emission 1, CRPS at lead 20 / filter's"] = runs, crps(-1), 1.1
        out["heat, emission 1, spread-skill ratio, largest factor from 1"] = runs, spread_factor, 1.1
    for name, by_lead in REAL_BARS.items():
        if not (runs := cnmm_runs(found, name)):
            continue
        out[f"{name}, one-step"] = runs, lambda r: 1e4 * r["one_step"], by_lead[0]
        for lead in (k for k in by_lead if k):
            out[f"{name}, lead {lead}"] = runs, (lambda r, k=lead: 1e4 * r["multi_step"][k - 1]), by_lead[lead]
    for flow, called in FLOWS.items():
        peers = [r for k, r in found.get(f"real_{flow}", {}).items() if k.split("/")[0] in ("unet", "convlstm")]
        if not peers or not (runs := cnmm_runs(found, flow)):
            continue
        for label, (read, bar) in FLOW_BARS.items():
            best = min(read(peer) for peer in peers)
            row = f"{called}, {label} / best of U-Net and ConvLSTM"
            out[row] = runs, (lambda r, f=read, b=best: f(r) / b), bar
    return out


def cnmm_runs(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [r for key, r in found.get(f"real_{name}", {}).items() if key.startswith("cnmm/")]


def speed_tables(found: dict[str, Any]) -> list[str]:
    """Return what the scripts of ``asv_bench`` measured."""
    speed = found["speed"]
    rows = header(["`python asv_bench/compare.py`", "measured", "bar"])
    rows += [line([name, f"{v:.4g}", f"{speed['bars'].get(name, '')}"]) for name, v in speed["measured"].items()]
    out = [f"Commit {speed['commit']}; {speed['machine']}.\n", "\n".join(rows) + "\n"]
    if "busy" in found:
        measured, bars = found["busy"]["measured"], found["busy"]["bars"]
        rows = header(["`python asv_bench/busy.py`", "measured", "bar"])
        rows += [line([name, f"{value:.2f}", f"{bars[name]:g}"]) for name, value in measured.items()]
        out.append("\n".join(rows) + "\n")
    if "archive" in found:
        keys = ["peak_gib", "frames_per_second", "fit_seconds"]
        rows = header(["`python asv_bench/archive.py`", "peak above the process [GiB]", "frames per second", "fit [s]"])
        for of, unit in (("archives", "gigabytes"), ("grids", "size")):
            label = "{:g} GB, 72 x 144, patches of 36" if of == "archives" else "{0:g} x {0:g}, whole frames"
            rows += [line([label.format(r[unit]), *(f"{r[k]:.4g}" for k in keys)]) for r in found["archive"][of]]
        out.append("\n".join(rows) + "\n")
    if "large" in found:
        large = found["large"]
        rows = header(["`python asv_bench/large.py`", "measured", "bar"])
        known = {label: of for label, of in LARGE.items() if of[0] in large}
        rows += [line([label, f"{large[part][key]:.3g}", bar]) for label, (part, key, bar) in known.items()]
        out.append("\n".join(rows) + "\n")
    if "ranks" in found:
        rows = header(["`python asv_bench/ranks.py`", "loss, relative difference by epoch", "speed of two against one"])
        for model in (m for m in NAMES if m in found["ranks"]):
            apart, gain = found["ranks"][model].values()
            rows.append(line([NAMES[model], ", ".join(f"{a:.1e}" for a in apart), f"{gain:.2f}"]))
        out.append("\n".join(rows) + "\n")
    if "kills" in found:
        good, same = found["kills"]["checkpoints that open"], found["kills"]["same forecast as without kills"]
        rows = header(["`python asv_bench/kills.py`", "checkpoints that open", "same forecast as without kills"])
        out.append("\n".join([*rows, line([f"{found['kills']['kills']} kills", str(good), str(same)])]) + "\n")
    return out


def lead_mean(run: dict[str, Any]) -> float:
    return run["scores"]["emission 1"]["multi_step_mean"]


def spread_factor(run: dict[str, Any]) -> float:
    return float(np.exp(np.abs(np.log(run["scores"]["emission 1"]["spread_skill"])).max()))


def paper_tables(results: dict[str, Any]) -> str:
    """Return a table for each test set of an experiment of the paper, and what long runs do."""
    out, unit, name = [], results["unit"], results["experiment"]
    for test, limits in results["limits"].items():
        rows = [(f"{name} (limit)", [limit], []) for name, limit in limits.items()]
        rows += [(label, [run["scores"][test] for run in runs], runs) for label, runs in paper_runs(results)]
        columns = [f"L = {k}" for k in LENGTHS]
        columns += ["leads 1 to 20", "CRPS lead 1", "CRPS lead 20", "spread-skill", "fit [s]", "commit"]
        lines = [f"### {test}, MSE x {1 / unit:.0e}".replace("e+0", "e"), "", *header(["", *columns])]
        for label, scores, runs in rows:
            cells = [summary([s["one_step"][k] / unit for s in scores]) for k in LENGTHS]
            cells.append(summary([s["multi_step_mean"] / unit for s in scores]))
            cells += [summary([s["crps"][k] for s in scores], 5) for k in (0, -1)]
            cells += [span([r for s in scores for r in s.get("spread_skill", [])])]
            cells += [summary([r["fit_seconds"] for r in runs], 0) if runs else "", commits(runs)]
            lines.append(line([label, *cells]))
        out.append("\n".join(lines) + "\n")
    lines = ["### Free run of 500 steps", ""]
    lines += header(["", "finite", "smallest and largest value", "training range", "spread in space by fifths"])
    found = [(label, [run["scores"].get("free run") for run in runs]) for label, runs in paper_runs(results)]
    found.insert(0, ("the simulation itself", [results.get("long run")]))
    for label, free in found:
        if all(free):
            low, high = min(f["range"][0] for f in free), max(f["range"][1] for f in free)
            fifths = np.median([f["spread_by_fifth"] for f in free], axis=0)
            cells = [str(all(f["finite"] for f in free)), f"{low:.0f} to {high:.0f}"]
            trained = "{:.0f} to {:.0f}".format(*free[0]["training_range"]) if "training_range" in free[0] else ""
            cells += [trained, ", ".join(f"{v:.0f}" for v in fifths)]
            lines.append(line([label, *cells]))
    machines = sorted({run["machine"] for run in results["runs"].values()})
    command = f"python examples/paper/reproduce.py {name} --models naive,convlstm,dmm,cnmm --variant {{default,paper}}"
    text = f"`{command} --threads 1 --out docs/results/{name}`; {'; '.join(machines)}. Long runs: in the data's units."
    return "\n".join([*out, *lines, "", text, ""])


def paper_runs(results: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the runs by model and variant, with a label."""
    out = []
    for name in dict.fromkeys(key.rpartition("/")[0] for key in results["runs"]):
        runs = [run for key, run in results["runs"].items() if key.rpartition("/")[0] == name]
        model, _, variant = name.partition("/")
        label = NAMES.get(model, "persistence") + (" (paper)" if variant == "paper" else "")
        out.append((f"{label}, {len(runs)} seed(s)", runs))
    return out


def ablation_table(results: dict[str, Any]) -> str:
    """Return what the default model loses without each of its choices."""
    lines = [
        "The default CNMM with one choice changed, 300 steps on ten simulations of the heat experiment, scored on",
        "eight others that no other table uses. Ratios to the default of the same seed; below 1 the change helps.",
        "",
        *header(["", "E1 one-step", "E1 leads 1 to 20", "E1 CRPS lead 20", "E2 one-step", "E2 leads 1 to 20", "seeds"]),
    ]
    runs = results["runs"]
    readings: list[tuple[str, Reading]] = []
    for test in ("emission 1", "emission 2"):
        readings += [(test, lambda s: s["one_step"]["20"]), (test, lambda s: s["multi_step_mean"])]
    readings.insert(2, ("emission 1", lambda s: s["crps"][-1]))
    for name in dict.fromkeys(key.rpartition("/")[0] for key in runs):
        seeds = [key.rpartition("/")[2] for key in runs if key.rpartition("/")[0] == name]
        seeds = [seed for seed in seeds if f"default/{seed}" in runs]
        cells = []
        for test, read in readings:
            values = [read(runs[f"{name}/{seed}"]["scores"][test]) for seed in seeds]
            base = [read(runs[f"default/{seed}"]["scores"][test]) for seed in seeds]
            cells.append(
                f"{np.median(values):.3g}" if name == "default" else f"{np.median(np.divide(values, base)):.3f}"
            )
        lines.append(line([name, *cells, str(len(seeds))]))
    seeds = max(int(key.rpartition("/")[2]) for key in runs) + 1
    command = f"python examples/paper/ablation.py --seeds {seeds} --threads 1 --out docs/results"
    return "\n".join([*lines, "", f"`{command}`", ""])


def linear_table(results: dict[str, Any]) -> str:
    """Return errors of the linear model and its peers, and the CRPS of its ensemble, by series."""
    lines = header(["MSE x 1e4", "one-step", *(f"lead {k}" for k in (1, 5, 10, 20))])
    for name, found in results.items():
        peers = [scores for model, scores in found["mse"].items() if model != "LinearForecaster"]
        for model, scores in found["mse"].items():
            lines.append(line([f"{name}: {model}", *(f"{1e4 * v:.3f}" for v in scores)]))
        ratio = np.divide(found["mse"]["LinearForecaster"], np.min(peers, axis=0))
        lines.append(line([f"**{name}: LinearForecaster / best of the others**", *(f"{v:.3f}" for v in ratio)]))
        crps = np.divide(found["crps"]["ensemble"], found["crps"]["Gaussian"])
        lines.append(
            line([f"**{name}: CRPS, ensemble / Gaussian of the held-out error**", "", *(f"{v:.3f}" for v in crps)])
        )
    seconds = ", ".join(f"{name} {found['seconds']:.1f} s" for name, found in results.items())
    machines = sorted({f"{found['machine']}, commit {found['commit']}" for found in results.values()})
    text = (
        f"`python examples/benchmark_linear.py --out docs/results`; {'; '.join(machines)}. Fit and 20 leads: {seconds}."
    )
    return "\n".join([*lines, "", text, ""])


def real_ablation_table(results: dict[str, Any]) -> str:
    """Return what leaving out one mechanism changes on held-out parts of the training parts of real series."""
    lines = [
        results["about"],
        "",
        *header(["", "one-step", *(f"lead {k}" for k in (1, 5, 10, 20)), "CRPS 1", "CRPS 20", "seeds", "commit"]),
    ]
    runs = results["runs"]
    for series, budget, variant in dict.fromkeys(tuple(key.split("/")[:3]) for key in runs):
        kind = variant.split()[0]  # each kind of transition has a default of its own
        reference_of = f"{kind} default" if kind in ("new", "deep") else "default"
        seeds = [key.rpartition("/")[2] for key in runs if key.rpartition("/")[0] == f"{series}/{budget}/{variant}"]
        own, base = ([runs[f"{series}/{budget}/{name}/{seed}"] for seed in seeds] for name in (variant, reference_of))
        cells = []
        for read in (lambda r: [r["one_step"], *r["mse"]], lambda r: [r["crps"][0], r["crps"][-1]]):
            values, reference = (np.mean([read(r) for r in of], axis=0) for of in (own, base))
            apart = np.ptp([np.divide(read(r), reference) for r in own], axis=0)
            itself = variant == reference_of
            shown = reference * (1e4 if len(reference) > 2 else 1) if itself else 100 * (values / reference - 1)
            for value, spread in zip(shown, apart, strict=True):
                plus = f" ({50 * spread:.1f})" if len(own) > 1 else ""
                cells.append(f"{value:.3g}" if itself else f"{value:+.1f} %{plus}")
        lines.append(line([f"{series}, {budget}: {variant}", *cells, str(len(own)), commits(own)]))
    return "\n".join([*lines, "", f"`{results['command']}`", ""])


if __name__ == "__main__":
    main()
