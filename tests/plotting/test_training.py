"""Training history: each recorded quantity is drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from gridcast.plotting import plot_history

HISTORY = [
    {"epoch": 3, "elbo": -2.0, "loss": 2.0, "validation_error": 0.5, "seconds": 50.0},
    {"epoch": 4, "elbo": -1.0, "loss": 1.0, "validation_error": None, "seconds": 40.0},
    {"epoch": 5, "elbo": -0.5, "loss": 0.5, "validation_error": 0.25, "seconds": 30.0},
]


def ring(ax):
    """Return where the best epoch is marked."""
    (found,) = [line for line in ax.lines if line.get_linestyle() == "None"]
    return found.get_xdata()[0], found.get_ydata()[0]


def test_given_axes_have_objective_and_validation_on_two_scales():
    _, given = plt.subplots()
    objective, validation = plot_history(HISTORY, ax=given)
    assert objective is given
    for ax, values, label in (
        (objective, [-2.0, -1.0, -0.5], "ELBO [nats]"),
        (validation, [0.5, np.nan, 0.25], "validation error (MSE of scaled data)"),
    ):
        line = ax.lines[0]
        np.testing.assert_array_equal(line.get_xdata(), [3, 4, 5])
        np.testing.assert_array_equal(line.get_ydata(), values)
        assert ax.get_ylabel() == label
        assert ax.yaxis.label.get_color() == line.get_color()
    assert objective.lines[0].get_color() != validation.lines[0].get_color()
    assert ring(validation) == (5, 0.25)


def test_given_axes_without_validation_are_alone():
    _, given = plt.subplots()
    (ax,) = plot_history([{"loss": 2.0}, {"loss": 1.0, "validation_error": None}], ax=given)
    assert ax is given
    assert ax.figure.axes == [ax]
    assert ax.get_ylabel() == "loss [nats]"
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [1, 2])


def test_a_new_figure_has_a_panel_for_all_that_was_recorded():
    recorded = {
        "elbo": [-2.0, -1.0, -0.5],
        "loss": [2.0, 1.0, 0.5],
        "nll": [1.5, 0.9, 0.4],
        "kl": [0.5, 0.1, 0.1],
        "new_term": [3.0, 4.0, 5.0],
        "validation_error": [0.5, 0.2, 0.3],
        "gradient_norm": [9.0, 3.0, 1.0],
        "learning_rate": [1e-4, 1e-3, 1e-5],
        "annealing": [0.2, 0.6, 1.0],
    }
    history = [{"epoch": i} | {key: values[i] for key, values in recorded.items()} for i in range(3)]
    axes = plot_history(history)
    panels = {ax.get_ylabel(): ax for ax in axes}
    assert list(panels) == [
        "ELBO [nats]",
        "loss [nats]",
        "MSE of scaled data",
        "gradient norm",
        "learning rate",
        "weight of the KL",
    ]
    drawn = {line.get_label(): line for ax in axes for line in ax.lines}
    names = {"elbo": "ELBO", "nll": "NLL", "kl": "KL", "validation_error": "validation"}
    for key, values in recorded.items():
        line = drawn[names.get(key, key.replace("_", " "))]
        np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2])
        np.testing.assert_array_equal(line.get_ydata(), values)
    terms = panels["loss [nats]"]
    assert [text.get_text() for text in terms.get_legend().get_texts()] == ["loss", "NLL", "KL", "new term"]
    assert ring(panels["MSE of scaled data"]) == (1, 0.2)
    assert [ax.get_xlabel() for ax in axes] == ["", "", "", "", "epoch", "epoch"]


def test_training_and_validation_errors_share_a_panel_over_decades():
    axes = plot_history([{"loss": 1.0, "mse": 0.5, "validation_error": 1.0}, {"loss": 1.0, "mse": 0.001}])
    assert [ax.get_ylabel() for ax in axes] == ["loss [nats]", "MSE of scaled data"]
    assert [line.get_label() for line in axes[1].lines][:2] == ["validation", "training (MSE)"]
    assert axes[1].get_yscale() == "log"
    assert plot_history([{"loss": 1.0, "mse": 0.5}, {"loss": 1.0, "mse": 0.4}])[1].get_yscale() == "linear"


def test_a_weight_that_never_changes_has_no_panel():
    assert len(plot_history([{"elbo": -1.0, "annealing": 1.0}, {"elbo": -0.5, "annealing": 1.0}])) == 1


def test_values_that_are_not_finite_leave_a_gap():
    axes = plot_history([{"loss": np.nan, "validation_error": np.nan}, {"loss": 1.0, "validation_error": 0.1}])
    np.testing.assert_array_equal(axes[0].lines[0].get_ydata(), [np.nan, 1.0])
    assert ring(axes[1]) == (2, 0.1)
    axes[0].figure.canvas.draw()
    plot_history([{"loss": np.nan, "validation_error": np.nan}])[0].figure.canvas.draw()


@pytest.mark.parametrize(
    ("seconds", "title"),
    [(None, "2 epochs"), (3.0, "2 epochs in 6 s"), (90.0, "2 epochs in 3 min"), (9e3, "2 epochs in 5 h")],
)
def test_the_title_says_how_long_it_took(seconds, title):
    axes = plot_history([{"loss": 1.0, "seconds": seconds}] * 2)
    assert axes[0].figure.get_suptitle() == title


def test_history_errors():
    for history in ([], [{"epoch": 1, "seconds": 2.0}]):
        with pytest.raises(ValueError, match="history must have 'elbo' or 'loss' in its"):
            plot_history(history)
