import numpy as np

from gridcast import WindowSplitter

N_HOURS = 24 * 365 * 80


class Windows:
    params = (1, 24)
    param_names = ("stride",)

    def setup(self, stride: int) -> None:
        self.splitter = WindowSplitter(window=30, stride=stride, n_splits=5)
        self.series = np.empty((N_HOURS, 0))

    def time_windows(self, stride: int) -> None:
        self.splitter.windows(N_HOURS)

    def time_split(self, stride: int) -> None:
        list(self.splitter.split(self.series))

    def peakmem_split(self, stride: int) -> None:
        list(self.splitter.split(self.series))
