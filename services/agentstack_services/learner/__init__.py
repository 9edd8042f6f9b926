"""Turns results into running success rates and durations, per workflow and step."""
