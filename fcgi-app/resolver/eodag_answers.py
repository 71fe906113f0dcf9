# SPDX-License-Identifier: Apache-2.0
"""
How a job of the resolver can fail: what ends it, what may be told of an
exception, and which status it becomes.  Knows EODAG's, requests' and botocore's
exceptions by name alone.  Used by eodag_glue.py.

No text of an exception, no URL and no credential is put into a reason:
providers' messages hold both.
"""

import os
import re


class SetupError(Exception):
    """Its text is for the operator and holds no secret: C logs it."""
    eodata_safe = True


class Refused(Exception):
    """Ends a job: becomes a "failed" answer."""

    def __init__(self, status, who, reason, retry_after_s=0):
        super().__init__(reason)
        self.answer = {"kind": "failed", "status": status, "who": who, "reason": reason}
        if retry_after_s:
            self.answer["retry_after_s"] = retry_after_s


class Wrong(Exception):
    """A plugin gave something of another type than it should."""


def where(e):
    """The type of an exception and where it was raised: what may be told of it."""
    tb, place = e.__traceback__, ""
    while tb is not None:
        code = tb.tb_frame.f_code
        place = " at %s:%d" % (os.path.basename(code.co_filename), tb.tb_lineno)
        tb = tb.tb_next
    return (type(e).__name__ + place)[:200]


def exact(value, what):
    """A str and no subclass of it: one could compare as it likes."""
    if type(value) is not str:
        raise Wrong("%s is %s" % (what, type(value).__name__[:40]))
    return value


def as_dict(value):
    return value if type(value) is dict else {}


def _http_status(e):
    """The provider's status behind an exception, and how long it wants us to wait."""
    seen = 0
    while e is not None and seen < 5:
        response = getattr(e, "response", None)
        status = getattr(response, "status_code", None)
        if type(status) is not int:
            status = getattr(e, "status_code", None)
        if type(status) is int:
            wait = (getattr(response, "headers", None) or {}).get("Retry-After", "")
            return status, int(wait) if type(wait) is str and re.fullmatch("[0-9]{1,5}", wait) else 0
        e, seen = e.__cause__ or e.__context__, seen + 1
    return None, 0


def _by_provider_status(status):
    if status in (404, 410):
        return 404
    if status in (403, 429, 503):
        return status
    return 502


def _status_of(e):
    """(status for the client, who) for an exception.  The table is in the order of the checks."""
    names = {c.__name__ for c in type(e).__mro__}
    status, _ = _http_status(e)
    if names & {"UnsupportedProvider", "UnsupportedCollection", "NoMatchingCollection", "AddressNotFound"}:
        return 404, "client"
    if "NotAvailableError" in names:
        return 404, "upstream"
    if "AuthenticationError" in names:
        return 502, "upstream"
    if names & {"MisconfiguredError", "PluginNotFoundError", "PluginImplementationError"}:
        return 500, "resolver"
    if "QuotaExceededError" in names:
        return 429, "upstream"
    if names & {"TimeOutError", "TimeoutError", "Timeout"}:
        return 504, "upstream"
    if "ClientError" in names:
        return _status_of_s3(e), "upstream"
    if "ValidationError" in names:
        return 400, "client"
    if names & {"DownloadError", "RequestError", "HTTPError"}:
        return _by_provider_status(status), "upstream"
    if "NotImplementedError" in names:
        return 501, "resolver"
    if "EodagError" in names or names & {"RequestException", "OSError", "ValueError", "BotoCoreError", "PyJWTError"}:
        return 502, "upstream"
    return 500, "resolver"


def _status_of_s3(e):
    code = as_dict(as_dict(getattr(e, "response", None)).get("Error")).get("Code")
    return {"NoSuchKey": 404, "NoSuchBucket": 404, "404": 404, "AccessDenied": 403, "SlowDown": 503}.get(code, 502)


def failure(e):
    status, who = _status_of(e)
    wait = _http_status(e)[1]
    answer = {"kind": "failed", "status": status, "who": who, "reason": where(e)}
    if status in (429, 503):
        answer["retry_after_s"] = min(wait, 86400) or 60
    return answer
