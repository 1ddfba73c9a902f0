"""What the deep Markov forecasters share."""

from gridcast.modules.markov import Objective

KERNEL_SIZE, DOWNSAMPLING = 3, 4  # the paper's; a block of 4 x 4 cells is also what the linear model works on
PAPER_OBJECTIVE = Objective(kl="monte_carlo", forecast_weight=0.0)
# Weight of the KL divergence at the start of a training, and the share of it after which the weight is 1
PAPER_ANNEALING = (0.2, 1.0)
