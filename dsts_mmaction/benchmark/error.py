"""What the benchmark says when it cannot go on."""


class BenchmarkError(ValueError):
    """The benchmark cannot run like this; the message says what to change."""
