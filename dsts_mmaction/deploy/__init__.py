"""Specialized recognizers in the form that they are deployed in."""
