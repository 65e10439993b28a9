"""requests without the package by which it guesses how a text is coded whose sender does not say
so: its tables take 2.4 MiB, and answers are bytes here."""

from __future__ import annotations

import warnings

from connector.unloaded import without

with without("chardet", "charset_normalizer"), warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="Unable to find acceptable character detection")
    from requests import PreparedRequest, Response
    from requests.adapters import HTTPAdapter
    from requests.exceptions import RequestException

__all__ = ["HTTPAdapter", "PreparedRequest", "RequestException", "Response"]
