"""What a model is like: every measurement on a fixed number of clusters, with intervals. Nothing is decided here."""

from __future__ import annotations

from .figure import Figure, Profile, Request
from .listening import profiling
from .making import profile
from .measures import GROUP, ProfiledMeasure, profiled_measures

__all__ = ["GROUP", "Figure", "Profile", "ProfiledMeasure", "Request", "profile", "profiled_measures", "profiling"]
