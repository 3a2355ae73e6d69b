"""What a model is like: every measurement on a fixed number of clusters, with intervals. Nothing is decided here."""

from __future__ import annotations

from .figure import Figure, Profile, Request
from .listening import profiling
from .making import profile
from .measure import ProfiledMeasure
from .measures import GROUP, own_measurements, profiled_measures, register_measurement

__all__ = [
    "GROUP",
    "Figure",
    "Profile",
    "ProfiledMeasure",
    "Request",
    "own_measurements",
    "profile",
    "profiled_measures",
    "profiling",
    "register_measurement",
]
