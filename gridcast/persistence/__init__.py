"""How a forecaster is kept: one file, without pickle."""
