# SPDX-License-Identifier: Apache-2.0
"""
What the resolvers do with EODAG: setup() once, in the broker, then resolve()
for each job, in the child that belongs to one backend.

A job is a dict: backend, collection, item, asset, subpath (str or None),
item_json (bytes of the STAC item as the mover fetched it, or None), fresh.
The answer is a dict with the members of struct resolve_answer (ipc/resolve.h):
kind "source", "pending", "carry" or "failed", and what belongs to it.  C takes
exact built-in types only.

Where the bytes are is asked in this order: the item that came with the job, if
it is this backend's (federation:backends holds it; without that member, the
href's host belongs to the backend) and shows an upstream location; else the
provider's own search.

The path's backend binds the credentials.  EODAG would fall back to any other
provider's authentication whose pattern matches; here a location that only
another backend has the key for is refused (403, "policy").  EODAG's patterns
are also prefixes of a URL; credentials are given here only where the whole
host and port match.

No text of an exception, no URL and no credential is put into a reason:
providers' messages hold both.
"""

import datetime
import json
import logging
import os
import re
import sys
import urllib.parse
import warnings

import eodag_locations as locations
from eodag_answers import Refused, SetupError, Wrong, as_dict, exact, failure, where

EODAG_MIN = (4, 7, 1)
EODAG_BEYOND = (4, 11)          # 4.10 is the newest that was tested

# The default of stac-fastapi-eodag's auto_order_whitelist: their items claim to
# be online, but what they show as origin cannot be fetched without an order.
AUTO_ORDER = ("wekeo_main",)

DOWNLOAD_LINK = "downloadLink"
AUTH_KEYS = ("auth", "search_auth", "download_auth")     # in the order in which EODAG looks
ONLINE, STAGING, OFFLINE = "succeeded", "ordered", "orderable"
PENDING_RETRY_S = 300
# Headers that are the mover's own, or that describe a connection.
NOT_CREDENTIALS = frozenset((
    "user-agent", "host", "content-length", "transfer-encoding", "connection", "accept", "accept-encoding",
    "range", "if-range", "if-match", "if-none-match", "content-type", "te", "upgrade", "expect"))

_dag = None
_public = ()


# --- set-up -------------------------------------------------------------------


def setup(public_urls):
    """Import EODAG and build it.  Returns the names of its providers."""
    global _dag, _public
    _silence()
    _check_version()
    _public = tuple(locations.origin_and_path(u) for u in public_urls)
    try:
        from eodag import EODataAccessGateway
        _lend_no_credentials()
        _sleep_for_nobody()
        _import_early()
        dag = EODataAccessGateway()
    except SetupError:
        raise
    except Exception as e:
        # Its text may quote the file with the credentials.
        raise SetupError("EODAG cannot be set up: %s" % where(e)) from None
    _dag = dag
    names = sorted({str(n) for n in dag.available_providers()})
    _settle()
    return names


def _silence():
    """Nothing that a library writes may reach the log: requests' messages hold URLs with tokens."""
    logging.disable(logging.CRITICAL)
    logging.raiseExceptions = False
    warnings.simplefilter("ignore")
    nowhere = open(os.devnull, "w", encoding="utf-8")
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = nowhere


def _check_version():
    from importlib import metadata
    try:
        text = metadata.version("eodag")
    except metadata.PackageNotFoundError:
        raise SetupError("EODAG is not installed for Python %d.%d (eodag.python)" % sys.version_info[:2]) from None
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    version = tuple(int(n or 0) for n in found.groups()) if found else ()
    if not EODAG_MIN <= version < EODAG_BEYOND:
        raise SetupError("EODAG %s is outside the tested range: at least %s, below %s" % (
            text[:40], ".".join(map(str, EODAG_MIN)), ".".join(map(str, EODAG_BEYOND))))


def _lend_no_credentials():
    """
    EODAG gives a provider without credentials those of any other whose pattern is the
    same: "s3://" and "s3://eodata" are of several, at other endpoints and by other accounts.
    """
    from eodag.api.provider import ProvidersDict
    if not callable(getattr(ProvidersDict, "_share_credentials", None)):
        raise SetupError("EODAG may lend the credentials of a provider to others, in a way that is not known")
    ProvidersDict._share_credentials = lambda self: None


def _sleep_for_nobody():
    """
    EODAG's HTTP client sleeps for as long as a Retry-After says, three times, and the resolver
    would be killed for it.  Who is told when to come back does not try again by itself.
    """
    from urllib3.util.retry import Retry
    is_retry = Retry.is_retry
    Retry.is_retry = lambda self, method, status, told=False: not told and is_retry(self, method, status, told)


def _import_early():
    """What EODAG imports late: each child would do it for itself."""
    import importlib
    for name in ("eodag.api.product", "eodag.api.search_result", "eodag.utils.exceptions", "eodag.utils.s3",
                 "requests", "boto3", "shapely.geometry"):
        try:
            importlib.import_module(name)
        except ImportError:
            pass        # not in every version


def _settle():
    """Before the forks: what is here stays shared between the children."""
    import gc
    gc.collect()
    gc.freeze()


# --- whose key is it ----------------------------------------------------------------


def _is_ours(url):
    """Would fetching it ask this proxy again?"""
    try:
        origin, path = locations.origin_and_path(url)
    except Refused:
        return False
    return any(origin == o and (path == p or path.startswith(p + "/")) for o, p in _public)


def _conf(conf, name, default=None):
    value = getattr(conf, name, None)
    return default if value is None else value


def _auth_confs(provider_conf):
    for key in AUTH_KEYS:
        conf = getattr(provider_conf, key, None)
        if conf is not None:
            yield conf


def _conf_matches(auth_conf, plugin_conf):
    wanted = _conf(auth_conf, "matching_conf", {})
    return bool(wanted) and plugin_conf is not None and vars(plugin_conf).items() >= wanted.items()


def _url_matches(auth_conf, href):
    """As EODAG matches: from the start, not to the end."""
    pattern = _conf(auth_conf, "matching_url", "")
    try:
        return bool(pattern) and bool(href) and re.match(pattern, href) is not None
    except re.error:
        return False


def _configs():
    return _dag._plugins_manager.providers.configs


def _backend_conf(backend):
    conf = _configs().get(backend)
    if conf is None:
        raise Refused(404, "client", "unknown backend")
    return conf


def _hosts(conf):
    """The origins that are the backend's by its configuration."""
    urls = []
    for topic, member in (("search", "api_endpoint"), ("api", "api_endpoint"), ("download", "base_uri"),
                          ("download", "s3_endpoint")):
        urls.append(_conf(getattr(conf, topic, None), member))
    for url in urls:
        if isinstance(url, str):
            try:
                yield locations.origin(url)
            except Refused:
                pass


def _belongs(conf, href):
    """Without federation:backends: is this location one of the backend's?"""
    if locations.origin(href) in set(_hosts(conf)):
        return True
    for auth in _auth_confs(conf):
        pattern = _conf(auth, "matching_url", "")
        if pattern and locations.host_matches(pattern, href):
            return True
    return False


def _pick_auth(backend, href, download_conf):
    """
    The backend's own authentication plugin for this location, or None where it
    needs none.  Refused where only another backend has the key.
    """
    conf = _backend_conf(backend)
    own = None
    for auth in _auth_confs(conf):
        bound = _conf(auth, "matching_conf", {}) or _conf(auth, "matching_url", "")
        if not bound:
            # For all of the provider, says EODAG; but only where the host is the provider's.
            own = own or (auth if locations.origin(href) in set(_hosts(conf)) else None)
        elif _conf_matches(auth, download_conf):
            own = auth
        elif _url_matches(auth, href):
            if not locations.host_matches(_conf(auth, "matching_url", ""), href):
                raise Refused(403, "policy", "a host that only begins like one of the backend's")
            own = auth
        if own is auth:
            break
    if own is None:
        for name, other in _configs().items():
            if name != backend and any(_url_matches(a, href) for a in _auth_confs(other)):
                raise Refused(403, "policy", "a location of another backend")
        return None
    return _build_auth(backend, own, href, download_conf)


def _build_auth(backend, own, href, download_conf):
    manager = _dag._plugins_manager
    for plugin in manager.get_auth_plugins(backend, matching_url=href, matching_conf=download_conf):
        if plugin.provider != backend:
            break
        if all(_conf(plugin.config, name) == _conf(own, name) for name in ("type", "matching_url", "matching_conf")):
            return plugin
    raise Refused(403, "policy", "a location of another backend")


def _is_at_home(plugin, backend, href):
    """A login that matched the download's configuration says nothing of the host."""
    return locations.host_matches(_conf(getattr(plugin, "config", None), "matching_url", ""), href) \
        or locations.origin(href) in set(_hosts(_backend_conf(backend)))


def _bind_collection(plugin, backend, collection):
    """As EODAG's manager does: some tokens are made for one collection."""
    bind = getattr(plugin, "bind_collection", None)
    if plugin is None or bind is None:
        return plugin
    products = _conf(_backend_conf(backend), "products", {})
    definition = products.get(collection) or products.get("GENERIC_COLLECTION") or {}
    name = definition.get("_collection", collection)
    return bind(name.format(collection=collection) if isinstance(name, str) else collection)


# --- the item and its product ---------------------------------------------------------


def _read_item(job):
    if job["item_json"] is None:
        return None
    try:
        item = json.loads(job["item_json"])
    except (ValueError, RecursionError):
        raise Refused(502, "upstream", "the item is no JSON") from None
    if type(item) is not dict or type(item.get("assets", {})) is not dict \
            or type(item.get("properties", {})) is not dict:
        raise Refused(502, "upstream", "the item is no STAC item")
    if item.get("id") != job["item"] or item.get("collection") != job["collection"]:
        raise Refused(404, "upstream", "the catalogue gave another item")
    return item


def _absolute(item, href):
    """STAC allows hrefs that are relative to the item's own address: its link "self"."""
    if ":" in href.split("/", 1)[0]:
        return href
    links = item.get("links")
    for link in links if type(links) is list else ():
        base = as_dict(link).get("href")
        if as_dict(link).get("rel") == "self" and type(base) is str and base.lower().startswith(("http://", "https://")):
            try:
                return urllib.parse.urljoin(base, href)
            except ValueError:
                break
    return href


def _location(item, backend, asset):
    """The upstream href of the asset as the item shows it, or None: then search."""
    properties = as_dict(item.get("properties"))
    backends = properties.get("federation:backends")
    if type(backends) is list and backend not in backends:
        return None
    if backend in AUTO_ORDER or properties.get("order:status", ONLINE) != ONLINE:
        return None
    found = item.get("assets", {}).get(asset)
    if type(found) is not dict:
        if asset == DOWNLOAD_LINK:
            return None         # stac-fastapi-eodag answers it whether it is shown or not
        raise Refused(404, "client", "no such asset")
    origin = as_dict(as_dict(found.get("alternate")).get("origin"))
    for href in (origin.get("href"), found.get("href")):
        if type(href) is not str or href == "":
            continue
        href = _absolute(item, href)
        if href.startswith("zip+s3:"):
            raise Refused(501, "resolver", "a file in an archive")
        if not _is_ours(href):
            href = locations.clean_url(href)
            if type(backends) is not list and not _belongs(_backend_conf(backend), href):
                return None     # as an item of another backend
            locations.origin(href)
            return href
    return None


def _product_from_item(item, job, href):
    """EODAG's product for exactly this location: its path for serialized products, which changes nothing."""
    from eodag.api.product import EOProduct
    geometry = {"type": "Point", "coordinates": [0, 0]}     # its own may be none that EODAG can read, and does not matter
    properties = {
        "title": job["item"], "eodag:provider": job["backend"], "eodag:search_intersection": geometry,
        "order:status": ONLINE,
    }
    given = as_dict(item.get("properties"))
    for name in ("datetime", "start_datetime", "end_datetime", "eodag:download_method"):
        if type(given.get(name)) is str:
            properties[name] = given[name]
    assets = {}
    if job["asset"] == DOWNLOAD_LINK:
        properties["eodag:download_link"] = href
    else:
        assets[job["asset"]] = {"href": href}
    feature = {
        "type": "Feature", "id": job["item"], "collection": job["collection"], "geometry": geometry,
        "properties": properties, "assets": assets, "links": [],
    }
    return EOProduct._from_stac_item(feature, _dag._plugins_manager, raise_errors=True)


def _product_from_search(job):
    conf = _backend_conf(job["backend"])
    search = getattr(conf, "search", None) or getattr(conf, "api", None)
    if _conf(search, "need_auth", False):
        # EODAG would log in for the search with another provider's account too.
        endpoint = _conf(search, "api_endpoint")
        if not any(_conf_matches(a, search) or _url_matches(a, endpoint) or not (
                _conf(a, "matching_conf", {}) or _conf(a, "matching_url", "")) for a in _auth_confs(conf)):
            raise Refused(500, "resolver", "the backend's search needs authentication of its own")
    found = _dag.search(id=job["item"], collection=job["collection"], provider=job["backend"], raise_errors=True)
    for product in found:
        if product.properties.get("id") == job["item"]:
            break
    else:
        raise Refused(404, "upstream", "no such item")
    if product.provider != job["backend"]:
        raise Refused(403, "policy", "an item of another backend")
    if product.collection not in (job["collection"], _collection_of(job["collection"])):
        raise Refused(404, "upstream", "the item is of another collection")
    if product.downloader is None:
        product.register_downloader(_dag._plugins_manager.get_download_plugin(product), None)
    return product


def _collection_of(alias):
    try:
        return _dag.get_collection_from_alias(alias)
    except Exception:
        return alias


def _search_location(product, asset):
    if asset == DOWNLOAD_LINK:
        if len(product.assets) > 0 and not _ignores_assets(product):
            return None         # many files in one archive
        href = product.location
    else:
        if asset not in product.assets:
            raise Refused(404, "client", "no such asset")
        href = product.assets[asset].get("href")
    href = exact(href, "a location")
    if href.startswith("zip+s3:"):
        return None
    if href == "" or href == "Not Available":
        raise Refused(404, "upstream", "the provider shows no location")
    return locations.clean_url(href)


def _ignores_assets(product):
    config = product.downloader.config
    own = as_dict(_conf(config, "products", {}).get(product.collection))
    return bool(own.get("ignore_assets", _conf(config, "ignore_assets", False)))


# --- credentials ---------------------------------------------------------------------


def _forget(plugin):
    """The last credentials were refused: the next authenticate() makes new ones."""
    for owner in (plugin, getattr(plugin, "subject", None)):
        for name in ("token", "access_token"):
            if type(getattr(owner, name, None)) is str:
                setattr(owner, name, "")
    if getattr(plugin, "s3_session", None) is not None:
        plugin.s3_session = None
    _sas_cache().clear()


def _sas_cache():
    cache = getattr(sys.modules.get("eodag.plugins.authentication.sas_auth"), "_SAS_TOKENS", None)
    return cache if isinstance(cache, dict) else {}


def _forget_endless():
    """EODAG keeps a signature for good whose end its service does not say in Azure's way."""
    cache = _sas_cache()
    for key, kept in list(cache.items()):
        if type(kept) is not tuple or not isinstance(kept[-1], datetime.datetime):
            del cache[key]


def _apply(auth, url):
    """What an authentication object does to a request: (URL, {name: value})."""
    from requests import PreparedRequest
    from requests.structures import CaseInsensitiveDict
    request = PreparedRequest()
    request.method, request.url, request.headers = "GET", url, CaseInsensitiveDict()
    auth(request)
    headers = {}
    for name, value in request.headers.items():
        name = name.decode("latin-1") if type(name) is bytes else exact(name, "a header's name")
        value = value.decode("latin-1") if type(value) is bytes else exact(value, "a header's value")
        if name.lower() not in NOT_CREDENTIALS:
            headers[name] = value
    return exact(request.url, "an authenticated URL"), headers


def _http_credentials(answer, plugin, auth, url):
    from requests.auth import HTTPDigestAuth
    if isinstance(auth, HTTPDigestAuth):
        answer["url"] = url
        answer["digest_user"] = "%s:%s" % (exact(auth.username, "a user"), exact(auth.password, "a password"))
        return
    _forget_endless()
    signed, headers = _apply(auth, url)
    if hasattr(auth, "signed_url_key"):
        # The signature is in the URL; the headers are for the service that signs.
        answer["url"] = locations.clean_url(signed)
        locations.origin(signed)
    else:
        if urllib.parse.urlsplit(signed)[:3] != urllib.parse.urlsplit(url)[:3]:
            raise Wrong("authentication changed the host or path")
        # A token or a key in the query opens more than this asset.
        answer["for_clients"] = False
        answer["url"] = locations.clean_url(locations.with_query_of(url, signed))
        answer["headers"] = ["%s: %s" % pair for pair in headers.items()]
    answer["expires_ms"] = _expiry_ms(plugin, answer["url"], headers)


def _endpoint(auth, plugin, download_conf):
    """
    Where EODAG's client would ask: as EODAG is configured, or a profile of ~/.aws
    ("endpoint_url").  None: at Amazon, where the mover finds the region's.
    """
    endpoint = _conf(getattr(plugin, "config", None), "s3_endpoint") or _conf(download_conf, "s3_endpoint")
    if not endpoint:
        meta = getattr(getattr(getattr(auth, "meta", None), "client", None), "meta", None)
        endpoint = getattr(meta, "endpoint_url", None)
        host = urllib.parse.urlsplit(endpoint).hostname if type(endpoint) is str else None
        if not host or host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
            return None
    return exact(endpoint, "an endpoint")


def _s3_source(answer, plugin, place, endpoint):
    bucket, key = place
    if not bucket or not key.strip("/"):
        raise Refused(502, "upstream", "a location without bucket or key")
    key = locations.without_controls(urllib.parse.unquote(exact(key, "a key")))
    config = getattr(plugin, "config", None)
    session = getattr(plugin, "s3_session", None)
    credentials = session.get_credentials() if session is not None else None
    answer.update(source="s3", bucket=exact(bucket, "a bucket"), s3_key=key,
                  s3_requester_pays=bool(_conf(config, "requester_pays", False)), s3_anonymous=credentials is None)
    if endpoint:
        answer["s3_endpoint"] = endpoint
    if session is not None and session.region_name:
        answer["s3_region"] = exact(session.region_name, "a region")
    if credentials is not None:
        frozen = credentials.get_frozen_credentials()       # made now, or anew, where a role is assumed
        expiry = getattr(credentials, "_expiry_time", None)
        answer.update(s3_access=exact(frozen.access_key, "a key"), s3_secret=exact(frozen.secret_key, "a key"))
        if frozen.token:
            answer["s3_token"] = exact(frozen.token, "a token")
        if isinstance(expiry, datetime.datetime):
            answer["expires_ms"] = int(expiry.timestamp() * 1000)
    return answer


def _expiry_ms(plugin, url, headers):
    """When these credentials end; 0 where nobody says."""
    ends = []
    known = getattr(plugin, "access_token_expiration", None)
    if known is None and _conf(getattr(plugin, "config", None), "token_expiration_key"):
        known = getattr(plugin, "token_expiration", None)       # naive local time
    if isinstance(known, datetime.datetime) and known.year > 1970:
        ends.append(int(known.timestamp() * 1000))
    query = urllib.parse.urlsplit(url).query
    ends.append(locations.query_expiry_ms(query))
    tokens = [v.partition(" ")[2] for n, v in headers.items() if n.lower() == "authorization" and v[:7] == "Bearer "]
    tokens += [v for _, v in urllib.parse.parse_qsl(query)]
    ends += [locations.jwt_expiry_ms(t) for t in tokens]
    return max(1, min(e for e in ends if e is not None)) if any(e is not None for e in ends) else 0


# --- the answer -----------------------------------------------------------------------


def _describe(answer, asset, href, job):
    """What the catalogue says about the asset.  Of the wrong type or shape: as if it said nothing."""
    name = urllib.parse.unquote(urllib.parse.urlsplit(href).path.rstrip("/").rpartition("/")[2])
    if 0 < len(name) <= 255 and name.isprintable() and not set(name) & set('/\\"'):
        answer["filename"] = name
    if job["subpath"]:
        return
    kind, size, checksum = asset.get("type"), asset.get("file:size"), asset.get("file:checksum")
    if type(kind) is str and re.fullmatch(r"[\w!#$&^.+-]{1,64}/[\w!#$&^.+-]{1,64}( ?; ?[\x20-\x7e]{1,100})?", kind, re.A):
        answer["media_type"] = kind
    if type(size) is int and 0 <= size < 1 << 62:
        answer["size"] = size
    if type(checksum) is str and re.fullmatch(r"[0-9A-Za-z:+/=_-]{8,200}", checksum, re.A):
        answer["checksum"] = checksum


def _source(product, job, href, asset):
    downloader = product.downloader
    config = downloader.config
    link = job["asset"] == DOWNLOAD_LINK
    answer = {"kind": "source", "source": "http", "backend": job["backend"], "method": "GET"}
    url = locations.with_subpath(href, job["subpath"])
    scheme = locations.origin(url)[0]
    plugin = _pick_auth(job["backend"], href, config)
    plugin = _bind_collection(plugin, job["backend"], job["collection"])
    if plugin is not None and job["fresh"]:
        _forget(plugin)
    auth = plugin.authenticate() if plugin is not None else None
    _describe(answer, asset, href, job)
    verify = _conf(config, "ssl_verify", True)
    answer["tls_verify"] = verify if type(verify) is bool else True
    is_s3 = auth is not None and _is_s3_resource(auth)
    if auth is not None and not is_s3 and not callable(auth):
        raise Wrong("authentication is %s" % type(auth).__name__[:40])
    if scheme == "s3" or (is_s3 and type(downloader).__name__ == "AwsDownload"):
        endpoint = _endpoint(auth, plugin, config)
        place = locations.bucket_and_key(url, endpoint, _conf(config, "bucket_path_level", 0))
        if place is not None:
            return _s3_source(answer, plugin, place, endpoint)
    if is_s3 or (link and _conf(config, "no_auth_download", False)) or (
            plugin is not None and not _is_at_home(plugin, job["backend"], href)):
        auth = None
    method = as_dict(product.properties).get("eodag:download_method") or _conf(config, "method", "GET")
    if link and exact(method, "a method").upper() == "POST":
        answer["method"] = "POST"
        url, answer["body"] = locations.split_post(url)
    else:
        params = _conf(config, "dl_url_params", {})
        url = locations.join_query(url, urllib.parse.urlencode(params)) if params else url
        # What the operator adds may be a key, for all that there is.
        answer["for_clients"] = not params
    if auth is None:
        answer["url"] = locations.clean_url(url)
        answer["expires_ms"] = _expiry_ms(None, url, {})
    else:
        _http_credentials(answer, plugin, auth, url)
    if answer.get("body") is not None:
        answer["headers"] = answer.get("headers", []) + ["Content-Type: application/json"]
    return answer


def _is_s3_resource(auth):
    from boto3.resources.base import ServiceResource
    return isinstance(auth, ServiceResource)


def _is_api(product):
    return any(c.__name__ == "Api" and c.__module__.startswith("eodag.") for c in type(product.downloader).__mro__)


def _from_search(job):
    product = _product_from_search(job)
    if _is_api(product):
        return {"kind": "carry", "status": 501, "reason": "only EODAG can download this"}
    status = product.properties.get("order:status", ONLINE)
    if type(status) is str and status.lower() in (STAGING, OFFLINE):
        if not _conf(product.downloader.config, "order_enabled", False):
            raise Refused(404, "upstream", "offline, and cannot be ordered")
        return {"kind": "pending", "status": 503, "retry_after_s": PENDING_RETRY_S, "reason": "order status " + status.lower()}
    href = _search_location(product, job["asset"])
    if href is None or (job["asset"] == DOWNLOAD_LINK and type(product.downloader).__name__ == "AwsDownload"):
        return {"kind": "carry", "status": 501, "reason": "many files"}
    asset = product.assets[job["asset"]].as_dict() if job["asset"] in product.assets else {}
    return _source(product, job, href, asset)


def _resolve(job):
    item = _read_item(job)
    _backend_conf(job["backend"])
    href = _location(item, job["backend"], job["asset"]) if item is not None else None
    if href is None:
        return _from_search(job)
    # Before EODAG sees it: it would build, and log in with, any provider's plugin.
    _pick_auth(job["backend"], href, getattr(_backend_conf(job["backend"]), "download", None))
    product = _product_from_item(item, job, href)
    if product is None or product.provider != job["backend"]:
        raise Refused(502, "resolver", "EODAG made no product of the item")
    if _is_api(product):
        return {"kind": "carry", "status": 501, "reason": "only EODAG can download this"}
    if job["asset"] == DOWNLOAD_LINK and type(product.downloader).__name__ == "AwsDownload":
        return {"kind": "carry", "status": 501, "reason": "many files"}
    return _source(product, job, href, item["assets"][job["asset"]])


def resolve(job):
    """One job.  Raises only what means that this process should end."""
    try:
        return _resolve(job)
    except Refused as e:
        return e.answer
    except Wrong as e:
        return {"kind": "failed", "status": 500, "who": "resolver", "reason": str(e)[:200]}
    except (MemoryError, RecursionError):
        raise
    except Exception as e:
        return failure(e)
