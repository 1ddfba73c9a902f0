"""How good a forecast is: splits, backtests, scores."""
