"""The tables of a history, version ``SCHEMA``.

A run sees verdicts on models; a verdict, with what was measured for it, stands there once, under the digest of
everything that it depends on, however many runs see it.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

__all__ = ["CLUSTERS", "MEASUREMENTS", "MODELS", "RUNS", "SCHEMA", "SIGHTINGS", "TABLES", "VERDICTS", "VERSION"]

SCHEMA = 1

TABLES = MetaData()

VERSION = Table("interp_schema", TABLES, Column("version", Integer, primary_key=True))

RUNS = Table(
    "interp_runs",
    TABLES,
    Column("number", Integer, primary_key=True),  # the order of appending, which no clock can change
    Column("id", String(32), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("started", String(40), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("git_commit", String(64)),
    Column("git_changed", Boolean),
    Column("platform", String, nullable=False),
    Column("versions", String, nullable=False),  # JSON, as everywhere below where it is said
)

MODELS = Table(
    "interp_models",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("name", String, nullable=False, index=True),
    Column("sha256", String(64), nullable=False),
    Column("training", String, index=True),
    Column("step", String),
    Column("architecture", String, nullable=False),
    Column("parameters", Integer, nullable=False),
    UniqueConstraint("name", "sha256"),
)

VERDICTS = Table(
    "interp_verdicts",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("key", String(64), nullable=False, unique=True),
    Column("question", String(64), nullable=False),  # the same for one claim on all models and seeds
    Column("sha256", String(64), nullable=False, index=True),
    Column("dtype", String(16), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("check_name", String, nullable=False),
    Column("claim", String, nullable=False),
    Column("layer", String),
    Column("verdict", String(16), nullable=False),
    Column("estimate", Float),
    Column("low", Float),
    Column("high", Float),
    Column("n", Integer, nullable=False),
    Column("threshold", Float),
    Column("levels", String, nullable=False),  # JSON
    Column("controls", String, nullable=False),  # JSON
    Column("reason", String, nullable=False),
)

CLUSTERS = Table(
    "interp_clusters",
    TABLES,
    Column("digest", String(64), primary_key=True),
    Column("ids", LargeBinary, nullable=False),  # JSON, deflated
)

MEASUREMENTS = Table(
    "interp_measurements",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("verdict", ForeignKey("interp_verdicts.number"), nullable=False),
    Column("position", Integer, nullable=False),  # 0 is what the claim is about
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("unit", String, nullable=False),
    Column("direction", String(8), nullable=False),
    Column("statistic", String(16), nullable=False),
    Column("lo", Float),
    Column("hi", Float),
    Column("n", Integer, nullable=False),
    Column("clusters", ForeignKey("interp_clusters.digest"), nullable=False),
    Column("per_cluster", LargeBinary, nullable=False),  # float64, little-endian, deflated
    UniqueConstraint("verdict", "position"),
)

SIGHTINGS = Table(
    "interp_sightings",
    TABLES,
    Column("run", ForeignKey("interp_runs.number"), primary_key=True),
    Column("verdict", ForeignKey("interp_verdicts.number"), primary_key=True),
    Column("model", ForeignKey("interp_models.number"), primary_key=True),
)
