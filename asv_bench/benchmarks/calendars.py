import xarray as xr

from gridcast.data.inference import infer_calendar


class Hours:
    params = ("datetime64", "noleap")
    param_names = ("calendar",)

    def setup(self, calendar: str) -> None:
        named = {} if calendar == "datetime64" else {"calendar": calendar, "use_cftime": True}
        self.times = xr.date_range("2000-01-01", periods=24 * 365, freq="h", **named).rename("time")
        self.calendar = infer_calendar(self.times)

    def time_infer(self, calendar: str) -> None:
        infer_calendar(self.times)

    def time_after(self, calendar: str) -> None:
        self.calendar.after(self.times[-1], 100)
