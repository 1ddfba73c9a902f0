"""
Figures of forecasts and of their errors; they take labelled data and return matplotlib axes.

No function shows the figure or changes matplotlib's settings: call ``ax.figure.savefig`` or ``plt.show``. Colours can
be told apart by the colour-blind; missing cells are grey.
"""

from gridcast.plotting.animation import animate, animate_reconstruction
from gridcast.plotting.coverage import plot_coverage_by_lead
from gridcast.plotting.ensembles import plot_fan, plot_rank_histogram, plot_reliability, plot_spread_skill
from gridcast.plotting.maps import plot_error_maps, plot_film, plot_maps
from gridcast.plotting.roc import plot_roc
from gridcast.plotting.scores import plot_error_by_lead, plot_error_by_sample, plot_score_bars
from gridcast.plotting.spectra import plot_spectrum
from gridcast.plotting.training import plot_history

__all__ = [
    "animate",
    "animate_reconstruction",
    "plot_coverage_by_lead",
    "plot_error_by_lead",
    "plot_error_by_sample",
    "plot_error_maps",
    "plot_fan",
    "plot_film",
    "plot_history",
    "plot_maps",
    "plot_rank_histogram",
    "plot_reliability",
    "plot_roc",
    "plot_score_bars",
    "plot_spectrum",
    "plot_spread_skill",
]
