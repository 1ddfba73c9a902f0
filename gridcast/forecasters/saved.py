"""What makes a forecaster last: one file, and a card for people."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import cftime
import pandas as pd
import xarray as xr

from gridcast._version import __version__
from gridcast.data.calendars import Calendar
from gridcast.data.drivers import Drivers
from gridcast.data.grid import Grid, Series
from gridcast.data.observation_errors import NoisySeries
from gridcast.data.parameters import Parameters, defaults, shown
from gridcast.data.recalibration import Recalibration
from gridcast.data.warn import warn
from gridcast.forecasters.fitted import check_fitted
from gridcast.forecasters.registry import is_registered
from gridcast.persistence.card import make_card
from gridcast.persistence.container import PathLike, write_file
from gridcast.persistence.encoding import Attributes, Encoder
from gridcast.persistence.forms import FORMS
from gridcast.persistence.refusal import shorten
from gridcast.training.settings import TRAINING_FORM

PACKAGES = ("numpy", "pandas", "scikit-learn", "torch", "xarray")
ALL_FORMS = (*FORMS, TRAINING_FORM)


class SavedForecaster(Parameters, ABC):
    """Saves a forecaster and describes it; `gridcast.load` opens the file."""

    grid_: Grid
    calendar_: Calendar
    recent_: Series
    trained_on_: tuple[Any, Any]
    missing_share_: float
    recalibration_: Recalibration
    drivers_: Drivers | None

    def save(self, path: PathLike, scores: Any = None) -> None:
        """Write the fitted forecaster to one file, from which `gridcast.load` makes one that forecasts the same.

        The file is a zip of JSON, safetensors and the Markdown of `card`; there is no pickle in it. An interrupted
        `save` leaves the file that was there. The same forecaster gives the same bytes. What the file holds of the data
        is their labels and attributes, the last observed steps and what was learned from them.

        A RandomState or Generator as `random_state` is saved in its present state: the loaded forecaster draws next
        what this one would draw next.

        Parameters
        ----------
        path : str or path
            The suffix is free; ``.gridcast`` is usual.
        scores : mapping or Dataset, optional
            For the card in the file, see `card`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If a parameter, the transformer or a label of the data is of a kind that can not be saved; attributes of
            such a kind are left out with a warning. If `path` is a device or a pipe.
        OSError
            If the folder is not there, can not be written, or has no space left.
        TypeError
            If the forecaster is of a class that is not registered, which `gridcast.load` could not know.
        """
        encoder = Encoder(ALL_FORMS)
        write_file(path, self._pack(encoder), encoder.arrays, self.card(scores))

    def _pack(self, encoder: Encoder) -> dict[str, Any]:
        """Return what a file holds of the fitted forecaster, its arrays in `encoder`; see `save` for errors."""
        check_fitted(self)
        name = type(self).__name__
        if not is_registered(type(self)):
            raise TypeError(
                f"{name} is not registered, so that load would not know it: decorate it with "
                "gridcast.forecasters.forecaster, or use joblib.dump"
            )
        values = {"class": name, "versions": versions(), "parameters": self._encoded_parameters(encoder)}
        learned = {"grid": self.grid_, "calendar": self.calendar_, "trained_on": self.trained_on_} | {
            "recent": {
                "values": self.recent_.values,
                "times": self.recent_.times,
                "samples": self.recent_.samples,
                "time_attrs": None if self.recent_.time_attrs is None else Attributes(self.recent_.time_attrs),
            }
            | ({"errors": self.recent_.errors} if isinstance(self.recent_, NoisySeries) else {}),
            "missing_share": self.missing_share_,
            "recalibration": self.recalibration_.scores,
        }
        if self.drivers_ is not None:
            learned["drivers"] = {
                name: {"values": part.values, "times": part.times} for name, part in self.drivers_.parts.items()
            }
        values["learned"] = encoder.encode(learned | self._learned(), "learned")
        if encoder.left_out:
            warn(
                f"attributes that a file can not hold are left out: {shorten(', '.join(encoder.left_out))}; to keep "
                "them, make them text or numbers before fit",
            )
        return values

    def card(self, scores: Any = None) -> str:
        """Describe the fitted forecaster for people: data, parameters, training, versions, citation.

        Parameters
        ----------
        scores : mapping or Dataset, optional
            Scores to show: ``{"MSE": 1.2}``, ``{"MSE": {"day 1": 1.2, "day 2": 1.9}}`` or a Dataset over a few lead
            times, as `gridcast.metrics` gives.

        Returns
        -------
        str
            Markdown.

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError, ValueError
            If `scores` is neither, or has more than 1000 rows.
        """
        check_fitted(self)
        first, last = self.trained_on_
        end = xr.CFTimeIndex([last]) if isinstance(last, cftime.datetime) else pd.Index([last])
        n_steps = int(self.calendar_.steps_between(first, end)[0]) + 1
        return make_card(
            type(self),
            grid=self.grid_,
            calendar=self.calendar_,
            period=(first, last, n_steps),
            n_samples=None if self.recent_.samples is None else len(self.recent_.samples),
            missing_share=self.missing_share_,
            parameters=_flat(self.get_params(deep=False)),
            defaults=_flat(defaults(type(self))),
            n_parameters=vars(self).get("n_parameters_", 0),
            history=vars(self).get("history_", []),
            climatology=getattr(self, "climatology_", None),
            decisions=getattr(self, "decisions_", None),
            versions=versions(),
            scores=scores,
        )

    @abstractmethod
    def _learned(self) -> dict[str, Any]:
        """Return what was learned, besides what all forecasters learn, as values that can be saved."""

    @abstractmethod
    def _relearn(self, learned: dict[str, Any]) -> dict[str, Any]:
        """Return the learned attributes for what `_learned` returned, which may be anything that a file can hold.

        The attributes that all forecasters learn are there already. What it uses it takes out of `learned`.

        Raises
        ------
        ValueError
            If the values do not fit together.
        """

    def _encoded_parameters(self, encoder: Encoder) -> dict[str, Any]:
        encoded = {}
        for name, value in self.get_params(deep=False).items():
            try:
                encoded[name] = encoder.encode(value, name)
            except ValueError as error:
                known = ", ".join(form.cls.__name__ for form in ALL_FORMS if hasattr(form.cls, "fit"))
                raise ValueError(
                    f"{name}={shown(value)} can not be saved ({error}): use plain values, arrays, or the transformers "
                    f"{known}; or keep the forecaster with joblib.dump"
                ) from error
        return encoded


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with those of nested settings in their place, but for what belongs to one machine or run."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Parameters):
            inner, kept_out = value.get_params(deep=False), getattr(value, "_not_saved", ())
            flat |= {f"{name}__{key}": inner[key] for key in inner if key not in kept_out}
        else:
            flat[name] = value
    return flat


def versions() -> dict[str, str]:
    """Return the versions of gridcast and of what its forecasts depend on."""
    found = {"gridcast": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a folder of sources
            found[package] = "unknown"
    return found
