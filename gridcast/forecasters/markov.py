"""What the deep Markov forecasters share."""

from gridcast.modules.objective import Objective

KERNEL_SIZE, DOWNSAMPLING = 3, 4  # the paper's; a block of 4 x 4 cells is also what the linear model works on
# A start from random weights needs the divergence to warm up; a residual model starts from a fitted posterior.
PAPER_OBJECTIVE = Objective(kl="monte_carlo", forecast_weight=0.0, annealing=(0.2, 1.0))
