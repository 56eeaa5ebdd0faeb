"""Compare recognizers with and without DSTS over variants and seeds."""
