"""Reads a snapshot with the readers that analysts have, and holds them against each other and against the library lifetimes.

Usage: readers.py SNAPSHOT_FOLDER R ALPHA_DAYS A B P Q V, the last being the parameters of the snapshot's model (MBG/NBD and Gamma-Gamma). It fails on the first difference.
"""

import datetime
import json
import pathlib
import sys

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from lifetimes import GammaGammaFitter, ModifiedBetaGeoFitter

folder = pathlib.Path(sys.argv[1])
r, alpha, a, b, p, q, v = map(float, sys.argv[2:])
manifest = json.loads((folder / "manifest.json").read_text())
as_of = datetime.datetime.fromisoformat(manifest["as_of"])

# Every reader sees the rows and columns of the manifest, the same nulls, and instants in UTC.
types = {"string": pa.string(), "int32": pa.int32(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_(), "date": pa.date32(), "timestamp (ms, UTC)": pa.timestamp("ms", tz="UTC")}


def type_of(name):
    """Returns what pyarrow calls the type of a column that the manifest gives this name."""
    if name.startswith("list of "):
        return pa.list_(pa.field("element", type_of(name.removeprefix("list of ")), nullable=False))
    if name.startswith("{"):
        fields = (field.split(" ", 1) for field in name[1:-1].split(", "))
        return pa.struct([pa.field(field, type_of(kind), nullable=False) for field, kind in fields])
    return types[name]


for table in manifest["tables"]:
    path = str(folder / table["file"])
    arrow, polars, pandas = pq.read_table(path), pl.read_parquet(path), pd.read_parquet(path)
    duck = duckdb.connect()
    duck.execute("set timezone = 'UTC'")
    names = [column["name"] for column in table["columns"]]
    assert arrow.column_names == names == polars.columns == list(pandas.columns), table["name"]
    assert arrow.num_rows == table["rows"] == len(polars) == len(pandas), table["name"]
    assert duck.execute(f"select count(*) from '{path}'").fetchone()[0] == table["rows"], table["name"]
    for column in table["columns"]:
        name = column["name"]
        assert arrow.schema.field(name).type == type_of(column["type"]), (name, arrow.schema.field(name))
        assert arrow.schema.field(name).nullable == column["nullable"], name
        nulls = arrow[name].null_count
        assert nulls == polars[name].null_count() == int(pandas[name].isna().sum()), name
        assert nulls == duck.execute(f"select count(*) - count(\"{name}\") from '{path}'").fetchone()[0], name
        if column["type"].startswith("timestamp"):
            assert str(pandas[name].dt.tz) == "UTC" and polars[name].dtype.time_zone == "UTC", name
            assert duck.execute(f"select typeof(\"{name}\") from '{path}' limit 1").fetchone()[0] == "TIMESTAMP WITH TIME ZONE", name
    if "as_of" in names:
        assert (pandas["as_of"] == as_of).all() and duck.execute(f"select distinct as_of from '{path}'").fetchall() == [(as_of,)], table["name"]
        assert set(polars["as_of"]) == {as_of} and set(arrow["as_of"].to_pylist()) == {as_of}, table["name"]

# What lifetimes makes of the columns is what lull has made.
customers = pd.read_parquet(folder / "customers.parquet")
model = ModifiedBetaGeoFitter()
model.params_ = pd.Series({"r": r, "alpha": alpha, "a": a, "b": b})
spend = GammaGammaFitter()
spend.params_ = pd.Series({"p": p, "q": q, "v": v})


def same(name, theirs):
    np.testing.assert_allclose(customers[name], theirs, rtol=1e-6, err_msg=name)


same("p_alive", model.conditional_probability_alive(customers["frequency"], customers["recency"], customers["T"]))
horizon = customers["horizon_days"].iloc[0]
same("expected_purchases", model.conditional_expected_number_of_purchases_up_to_time(horizon, customers["frequency"], customers["recency"], customers["T"]))
repeaters = customers[customers["frequency"] > 0]
theirs = spend.conditional_expected_average_profit(repeaters["frequency"], repeaters["monetary_value"])
np.testing.assert_allclose(repeaters["expected_spend"], theirs, rtol=1e-6, err_msg="expected_spend")
fitted = ModifiedBetaGeoFitter().fit(customers["frequency"], customers["recency"], customers["T"])
print(f"{len(customers)} customers, {len(repeaters)} repeaters; lifetimes fits r {fitted.params_['r']:.3f}, alpha {fitted.params_['alpha'] / 7:.2f} weeks")
