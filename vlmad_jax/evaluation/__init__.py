"""Evaluating detectors on data sets, one at a time or side by side."""
