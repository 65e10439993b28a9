"""requests without what no call to an API needs: loaded first by whoever wants it so.

For a text whose sender does not say how it is coded, requests has a package that guesses, with
tables that take 2.4 MiB in each process. Answers are bytes here, and nobody asks for a guess. Where
there is no such package requests does without, so while it is loaded it finds none.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module

_GUESSERS = ("chardet", "charset_normalizer")


def _load() -> None:
    absent = [name for name in _GUESSERS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: not to be found
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Unable to find acceptable character detect")
            import_module("requests")
    finally:
        for name in absent:
            sys.modules.pop(name, None)


_load()

from requests import PreparedRequest, Response  # noqa: E402 - after it was loaded so
from requests.adapters import HTTPAdapter  # noqa: E402
from requests.exceptions import RequestException  # noqa: E402

__all__ = ["HTTPAdapter", "PreparedRequest", "RequestException", "Response"]
