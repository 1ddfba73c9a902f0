"""What the deep Markov forecasters share."""

from gridcast.modules.markov import Objective

KERNEL_SIZE, DOWNSAMPLING = 3, 4  # the paper's; a block of 4 x 4 cells is also what the linear model works on
PAPER_OBJECTIVE = Objective(kl="monte_carlo", forecast_weight=0.0)


def annealing(architecture: str) -> tuple[float, float]:
    """Return the weight of the KL divergence at the start, and the share of training after which it is 1."""
    return (0.2, 1.0) if architecture == "paper" else (1.0, 0.0)
