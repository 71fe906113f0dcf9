# SPDX-License-Identifier: Apache-2.0
"""
Locations of assets: which can be fetched at all, whose host it is, what belongs
into their query, and when what is in it ends.  Pure.  Used by eodag_glue.py.
"""

import base64
import binascii
import datetime
import json
import re
import urllib.parse

from eodag_answers import Refused

_URL_MAX = 16384         # SOURCE_URL_MAX of ipc/resolve.h
_AMAZON = re.compile(r"(?:(.+)\.)?s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")


def origin_and_path(url):
    parts = urllib.parse.urlsplit(url)
    return origin(url), parts.path.rstrip("/")


def origin(url):
    """(scheme, host, port) of a URL that may be fetched; Refused for others."""
    try:
        parts = urllib.parse.urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise Refused(502, "upstream", "a location that is no URL") from None
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https", "s3") or not host:
        raise Refused(502, "upstream", "a location that is neither http, https nor s3")
    if "@" in parts.netloc or "\\" in parts.netloc:
        raise Refused(502, "upstream", "a location with credentials in it")
    return scheme, host.lower(), port or {"http": 80, "https": 443}.get(scheme)


def without_controls(text):
    if any(ord(c) < 0x20 or ord(c) == 0x7f for c in text):
        raise Refused(502, "upstream", "a location with control characters")
    return text


def clean_url(url):
    """Printable ASCII, no fragment.  What is encoded already stays as it is."""
    url = without_controls(url).split("#", 1)[0]
    url = urllib.parse.quote(url, safe="!#$%&'()*+,/:;=?@[]~")
    if len(url) > _URL_MAX:
        raise Refused(502, "upstream", "a location that is too long")
    return url


def with_subpath(url, subpath):
    """A chunk below a directory-like asset.  subpath is percent-encoded already; a key in S3 is decoded with it."""
    if not subpath:
        return url
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/" + subpath))


def bucket_and_key(url, endpoint, level):
    """
    What a location names at the S3 with that endpoint (None: Amazon's); None where it
    is at another server, which gets no keys.  EODAG takes the first label of the host
    for a bucket there, and cuts a bucket's name at its first dot.  level: the bucket's
    place in the path, for an endpoint that has a path itself.
    """
    parts = urllib.parse.urlsplit(url)
    path = parts.path.lstrip("/")
    if parts.scheme == "s3":
        return parts.netloc, path
    _, host, port = origin(url)
    if endpoint is None:
        amazon = _AMAZON.fullmatch(host)
        if amazon is None:
            return None
        bucket = amazon[1]
    else:
        _, at, at_port = origin(endpoint)
        # http and https of one host are one place
        if port != at_port and not {port, at_port} <= {80, 443}:
            return None
        if host != at and not host.endswith("." + at):
            return None
        bucket = host[:-len("." + at)]
    if bucket:
        return bucket, path
    names = path.split("/")
    return (names[level], "/".join(names[level + 1:])) if len(names) > level else ("", "")


def _host_patterns(matching_url):
    """
    The host part of an auth plugin's pattern, to be matched against a whole
    host[:port]; None when it cannot be told.  Shipped patterns do not escape
    their dots: a dot alone is a dot.
    """
    before, found, rest = matching_url.partition("://")
    if not found:
        return None
    scheme = before.lstrip("^")
    host, depth, brackets = "", 0, False
    for i, c in enumerate(rest):
        escaped = i > 0 and rest[i - 1] == "\\" and not (i > 1 and rest[i - 2] == "\\")
        if c == "/" and not brackets:
            break
        if not escaped:
            depth += {"(": 1, ")": -1}.get(c, 0) if not brackets else 0
            brackets = c == "[" or (brackets and c != "]")
            if c == "." and not brackets and rest[i + 1:i + 2] not in ("*", "+", "?", "{"):
                host += "\\"
            elif c == "." and not brackets:
                host += "[^/@:]"        # never across the port or another host's end
                continue
        host += c
    host = host.rstrip("$").rstrip("\\")     # "\/" ends a host too
    try:
        return re.compile(scheme), re.compile(host)
    except re.error:
        return None


def host_matches(matching_url, href):
    """Does the whole scheme and host of href match, not just a prefix?"""
    patterns = _host_patterns(matching_url)
    if patterns is None:
        return False
    parts = urllib.parse.urlsplit(href)
    scheme, host = patterns
    if not scheme.fullmatch(parts.scheme):
        return False
    if host.pattern == "":
        return parts.scheme == "s3"     # "s3://": any bucket; the endpoint is the backend's
    if host.fullmatch(parts.netloc):
        return True
    # The default port may be written or not.
    default = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    bare = parts.netloc[:-len(default)] if default and parts.netloc.endswith(default) else parts.netloc
    return bool(host.fullmatch(bare) or host.fullmatch(bare + default))


def split_post(url):
    """EODAG's POST: the query of the link is the body, as JSON."""
    parts = urllib.parse.urlsplit(url)
    values = urllib.parse.parse_qs(parts.query)
    if not values and parts.query:
        try:
            values = json.loads(urllib.parse.unquote(parts.query))
        except (ValueError, RecursionError):
            raise Refused(502, "upstream", "a POST link whose query is no JSON") from None
    return urllib.parse.urlunsplit(parts._replace(query="")), json.dumps(values) if values else None


def join_query(url, query):
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(query="&".join(q for q in (parts.query, query) if q)))


def with_query_of(url, signed):
    """
    The URL as it was, with what authentication put into its query.  EODAG's own
    result has lost empty arguments and is quoted anew.
    """
    old, new = urllib.parse.urlsplit(url), urllib.parse.urlsplit(signed)
    have = urllib.parse.parse_qsl(old.query, keep_blank_values=True)
    added = [p for p in urllib.parse.parse_qsl(new.query, keep_blank_values=True) if p not in have]
    names = {name for name, _ in added}
    kept = [part for part in old.query.split("&") if part and
            urllib.parse.unquote_plus(part.partition("=")[0]) not in names]
    return urllib.parse.urlunsplit(old._replace(query="&".join(kept + [urllib.parse.urlencode(added)] * bool(added))))


def jwt_expiry_ms(token):
    parts = token.split(".")
    if len(parts) != 3 or len(token) > 16384:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        exp = claims["exp"]
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        return None
    if type(exp) not in (int, float) or not 0 < exp < 1 << 40:
        return None
    return int(exp * 1000)


def query_expiry_ms(query):
    """se= of Azure's shared access signatures, X-Amz-Date and -Expires of presigned URLs."""
    values = dict(urllib.parse.parse_qsl(query))
    try:
        if "sig" in values and "se" in values:
            end = datetime.datetime.fromisoformat(values["se"].replace("Z", "+00:00"))
        elif "X-Amz-Date" in values and "X-Amz-Expires" in values:
            start = datetime.datetime.strptime(values["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
            end = start + datetime.timedelta(seconds=int(values["X-Amz-Expires"]))
        else:
            return None
    except (ValueError, OverflowError):
        return None
    if end.tzinfo is None:
        end = end.replace(tzinfo=datetime.timezone.utc)
    return int(end.timestamp() * 1000)
