"""Opens what `save` wrote."""

from __future__ import annotations

from typing import Any

from gridcast.forecasters.restore import restore
from gridcast.persistence.container import PathLike


def load(path: PathLike, device: str = "auto") -> Any:
    """Open a forecaster, or a pipeline of one, that was saved with its method `save`.

    It forecasts what the saved one did, to the last bit on the same kind of device and with the same versions of the
    libraries (``README.md`` in the file names them). No code of the file is run: it may come from anyone.

    Parameters
    ----------
    path : str or path
    device : str, default="auto"
        Where it forecasts: ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``,
        wherever it was trained. It is the parameter `device` of the loaded forecaster.

    Returns
    -------
    forecaster or ForecastPipeline
        Fitted. What belongs to one training (`callbacks`, `checkpoint_dir`) has its defaults, as have
        those that the gridcast which wrote the file did not know.

    Raises
    ------
    ValueError
        If the file is not a saved forecaster, of a newer format, damaged or changed, or would take far more memory
        than it has bytes; if `path` is a folder, a device or a pipe; if `device` is not there for a trained one.
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> import gridcast as gc
    >>> model = gc.NaiveForecaster().fit(np.arange(24.0).reshape(6, 2, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "persistence.gridcast"
    ...     model.save(path)
    ...     gc.load(path).predict(2).values[:, 0, 0].tolist()
    [20.0, 20.0]
    """
    forecaster, steps = restore(path, device)
    if steps is None:
        return forecaster
    # a forecaster opens without the library of scores
    from gridcast.pipeline import ForecastPipeline

    return ForecastPipeline([*steps[:-1], (steps[-1][0], forecaster)])
