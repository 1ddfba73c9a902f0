"""What a gridded series is: labels and calendars, windows, statistics."""
