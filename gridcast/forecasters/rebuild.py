"""A trained forecaster as plain values and arrays, and back without training data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from gridcast.data.covariates import make_time_features, static_fields
from gridcast.data.statistics import FieldStatistics
from gridcast.forecasters.parameters import check_training_parameters
from gridcast.persistence.encoding import MISFITS
from gridcast.persistence.forms import check, check_array, take
from gridcast.training.history import History
from gridcast.training.spec import make_spec
from gridcast.transformers.anomaly import Anomaly
from gridcast.transformers.minmax import MinMaxTransformer
from gridcast.transformers.scaling import Scaling


def trained_values(forecaster: Any) -> dict[str, Any]:
    """Return what a fitted neural forecaster learned; see `SavedForecaster._learned`."""
    scaling = forecaster.scaling_
    if type(scaling.transformer) not in (MinMaxTransformer, Anomaly):
        raise ValueError(
            f"transformer={forecaster.transformer!r} can not be saved: use MinMaxTransformer or Anomaly, or keep the "
            "forecaster with joblib.dump"
        )
    return {
        "transformer": scaling.transformer,
        "climatology": scaling.climatology,
        "statistics": scaling.statistics,
        "n_windows": forecaster.n_windows_,
        "history": [dict(record) for record in forecaster.history_],
        "module": {name: _as_array(name, tensor) for name, tensor in forecaster.module_.state_dict().items()},
    }


def rebuild(forecaster: Any, learned: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes that `trained_values` were made of, on the CPU; see `SavedForecaster._relearn`.

    The module is built without memory for its weights, so that sizes are known before anything is that large.
    """
    check_training_parameters(forecaster)
    forecaster._check_architecture()
    transformer, climatology, statistics, n_windows, history, weights = take(
        learned, "transformer", "climatology", "statistics", "n_windows", "history", "module"
    )
    grid, calendar = forecaster.grid_, forecaster.calendar_
    check(statistics, FieldStatistics, "learned/statistics")
    check_array(statistics.mean, grid.shape, "learned/statistics/mean")
    _check_transformer(transformer, grid.shape)
    if climatology is not None:
        check_array(
            check(climatology, Anomaly, "learned/climatology").cycle_, (None, *grid.shape), "learned/climatology"
        )
    if check(n_windows, int, "learned/n_windows") < 1:
        raise ValueError(f"learned/n_windows={n_windows!r} must be at least 1")
    _check_history(history)
    time_features = make_time_features(forecaster.time_features, forecaster.recent_, calendar)
    spec = make_spec(
        forecaster, grid, statistics, static_fields(forecaster.static, grid), time_features, n_windows=n_windows
    )
    try:
        with torch.device("meta"):
            module = forecaster._build_module(spec)
    except (*MISFITS, RuntimeError) as error:
        raise ValueError(f"the parameters make no module ({error})") from error
    module.load_state_dict(_tensors(module, check(weights, dict, "learned/module")), assign=True)
    return {
        "module_": module.eval(),
        "transformer_": transformer,
        "scaling_": Scaling(transformer, climatology, statistics, calendar),
        "time_features_": time_features,
        "history_": History(history),
        "n_windows_": n_windows,
        "n_parameters_": sum(p.numel() for p in module.parameters()),
    }


def _as_array(name: str, tensor: torch.Tensor) -> np.ndarray:
    if tensor.dtype.is_floating_point and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        raise ValueError(f'the weights {name} are {tensor.dtype}, which can not be saved: train with precision="32"')
    return tensor.detach().cpu().numpy()


def _tensors(module: nn.Module, weights: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the arrays as tensors, which are those that `module` has."""
    wanted = module.state_dict()
    if lacking := sorted(set(wanted) - set(weights)):
        raise ValueError(f"the weights {lacking[:3]} are missing, {len(lacking)} in all")
    if surplus := sorted(set(weights) - set(wanted)):
        raise ValueError(f"the weights {surplus[:3]} belong to no part of the module, {len(surplus)} in all")
    tensors = {name: torch.from_numpy(check(weights[name], np.ndarray, f"learned/module/{name}")) for name in wanted}
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            raise ValueError(
                f"the weights {name} are {tuple(tensor.shape)} of {tensor.dtype}, the parameters ask for "
                f"{tuple(wanted[name].shape)} of {wanted[name].dtype}"
            )
    return tensors


def _check_transformer(transformer: Any, shape: tuple[int, int, int]) -> None:
    check(transformer, (MinMaxTransformer, Anomaly), "learned/transformer")
    if isinstance(transformer, Anomaly):
        check_array(vars(transformer).get("cycle_"), (None, *shape), "learned/transformer/cycle_")
    else:
        check_array(vars(transformer).get("data_min_"), shape[:1], "learned/transformer/data_min_", "iuf")


def _check_history(history: Any) -> None:
    for record in check(history, list, "learned/history"):
        for name, value in check(record, dict, "a record of learned/history").items():
            check(value, (int, float), f"learned/history/{name}")
