"""Runs snapshot.ipynb from start to end on the snapshots of a folder, and fails if a cell does, or prints anything else than stands in the notebook.

Usage: run.py SNAPSHOTS [--rewrite], the second to write what came out into the notebook instead.
"""

import difflib
import os
import pathlib
import sys

import nbclient
import nbformat

path = pathlib.Path(__file__).with_name("snapshot.ipynb")
os.environ["LULL_SNAPSHOTS"] = str(pathlib.Path(sys.argv[1]).resolve())
committed = nbformat.read(path, as_version=4)
notebook = nbformat.read(path, as_version=4)
nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", record_timing=False).execute()


def printed(notebook):
    """Returns what the cells print, by line; not empty ones, of which DuckDB makes one where a query takes long. Pictures are looked at by people: their bytes depend on fonts."""
    return [line for cell in notebook.cells for output in cell.get("outputs", []) for line in output.get("text", "").splitlines() if line.strip()]


if "--rewrite" in sys.argv[2:]:
    nbformat.write(notebook, path)
elif printed(notebook) != printed(committed):
    sys.exit("\n".join(difflib.unified_diff(printed(committed), printed(notebook), "as committed", "as it runs", lineterm="")))
else:
    print(f"{len(printed(notebook))} lines, as committed")
