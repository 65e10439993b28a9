"""How fast and how large the connector is, against a plain Flask and RQ receiver in the same run.

`README.md` beside this file says what is measured and how. `python -m bench --help`.
"""
