"""Arrays in, figures out; the only place that knows matplotlib."""
