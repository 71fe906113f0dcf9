# SPDX-License-Identifier: Apache-2.0
"""
eodag_glue.py and its two modules against a stub of EODAG: no network, no packages.  What EODAG
itself does is tests/system/test_resolver.py's business.
"""

import base64
import collections
import datetime
import importlib.metadata
import json
import os
import pathlib
import re
import sys
import types
import unittest
from unittest import mock

sys.dont_write_bytecode = True
TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "fcgi-app/resolver"))

import eodag_glue as glue  # noqa: E402
import eodag_locations as locations  # noqa: E402


# --- the stub -------------------------------------------------------------------


class Conf(types.SimpleNamespace):
    pass


class Headers(dict):
    pass


class PreparedRequest:
    method = url = headers = None


class HTTPDigestAuth:
    def __init__(self, username, password):
        self.username, self.password = username, password

    def __call__(self, request):
        raise AssertionError("digest needs a challenge first")


class ServiceResource:
    pass


class Api:
    pass


Api.__module__ = "eodag.plugins.apis.base"


class Plugin:
    def __init__(self, provider, config):
        self.provider, self.config, self.calls = provider, config, 0

    def authenticate(self):
        self.calls += 1
        return self.config.auth


class Downloader:
    def __init__(self, config):
        self.config = config


class AwsDownload(Downloader):
    pass


class Product:
    def __init__(self, provider, collection, properties, assets, location="Not Available", downloader=None):
        self.provider, self.collection, self.properties = provider, collection, properties
        self.assets, self.location, self.downloader = assets, location, downloader

    @classmethod
    def _from_stac_item(cls, feature, manager, raise_errors=False):
        properties = dict(feature["properties"], id=feature["id"])
        provider = properties.pop("eodag:provider")
        return cls(provider, feature["collection"], properties, feature["assets"],
                   properties.get("eodag:download_link", "Not Available"), manager.download(provider))


class Asset(dict):
    def as_dict(self):
        return dict(self)


class Manager:
    def __init__(self, configs):
        self.providers = types.SimpleNamespace(configs=configs)
        self.built = {}

    def download(self, provider):
        conf = self.providers.configs[provider]
        return getattr(conf, "downloader", None) or Downloader(conf.download)

    def get_auth_plugins(self, provider, matching_url=None, matching_conf=None):
        order = [provider] + [p for p in self.providers.configs if p != provider]
        for name in order:
            for key in glue.AUTH_KEYS:
                conf = getattr(self.providers.configs[name], key, None)
                if conf is None:
                    continue
                wanted, pattern = getattr(conf, "matching_conf", {}), getattr(conf, "matching_url", None)
                if (not wanted and not pattern and name == provider) or (
                        wanted and vars(matching_conf).items() >= wanted.items()) or (
                        pattern and re.match(pattern, matching_url)):
                    yield self.built.setdefault((name, key), Plugin(name, conf))


class Dag:
    def __init__(self, **configs):
        self._plugins_manager = Manager(configs)
        self.found, self.asked = [], []

    def search(self, **kwargs):
        self.asked.append(kwargs)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def get_collection_from_alias(self, name):
        return {"ALIAS": "C"}[name]

    def available_providers(self):
        return list(self._plugins_manager.providers.configs)


class ProvidersDict:
    def _share_credentials(self):
        self.lent = True


class Retry:
    def is_retry(self, method, status, told=False):
        return status == 503


def module(name, **members):
    m = types.ModuleType(name)
    vars(m).update(members)
    return m


STUBS = {
    "eodag": module("eodag", EODataAccessGateway=lambda: Dag(a=Conf(), b=Conf())),
    "eodag.api": module("eodag.api"), "eodag.api.product": module("eodag.api.product", EOProduct=Product),
    "eodag.api.provider": module("eodag.api.provider", ProvidersDict=ProvidersDict),
    "requests": module("requests", PreparedRequest=PreparedRequest),
    "requests.structures": module("requests.structures", CaseInsensitiveDict=Headers),
    "requests.auth": module("requests.auth", HTTPDigestAuth=HTTPDigestAuth),
    "urllib3": module("urllib3"), "urllib3.util": module("urllib3.util"),
    "urllib3.util.retry": module("urllib3.util.retry", Retry=Retry),
    "boto3": module("boto3"), "boto3.resources": module("boto3.resources"),
    "boto3.resources.base": module("boto3.resources.base", ServiceResource=ServiceResource),
}


def header_auth(name="X-Key", value="k"):
    def auth(request):
        request.headers[name] = value
    return auth


def provider(host=None, auth=None, matching="https://%s/", **download):
    conf = Conf(search=Conf(api_endpoint="https://search.%s/stac" % host), download=Conf(**download), products={})
    if auth is not None:
        conf.auth = Conf(type="T", auth=auth)
        if matching:
            conf.auth.matching_url = matching % host if "%s" in matching else matching
    return conf


def item(href, backends=("b",), asset="x", **properties):
    if backends is not None:
        properties["federation:backends"] = list(backends)
    described = {"href": "https://ours.example/data/b/C/i/x", "type": "image/tiff", "file:size": 7}
    if href is not None:
        described["alternate"] = {"origin": {"href": href}}
    return {"id": "i", "collection": "C", "geometry": None, "properties": properties, "assets": {asset: described}}


class Case(unittest.TestCase):
    def setUp(self):
        patch = mock.patch.dict(sys.modules, STUBS)
        patch.start()
        self.addCleanup(patch.stop)
        glue._public = (locations.origin_and_path("https://ours.example/data"),)

    def use(self, **configs):
        glue._dag = Dag(**configs)
        return glue._dag

    def ask(self, it, backend="b", asset="x", subpath=None, fresh=False):
        data = json.dumps(it).encode() if isinstance(it, dict) else it
        return glue.resolve({"backend": backend, "collection": "C", "item": "i", "asset": asset, "subpath": subpath,
                             "item_json": data, "fresh": fresh})

    def failed(self, answer, status):
        self.assertEqual((answer["kind"], answer.get("status")), ("failed", status), answer)


# --- hosts --------------------------------------------------------------------------


class Hosts(Case):
    GOOD = [
        ("https://catalogue.dataspace.copernicus.eu", "https://catalogue.dataspace.copernicus.eu/odata/v1"),
        (r"https://[-\w\.]+.blob.core.windows.net", "https://naipeuwest.blob.core.windows.net/naip/x"),
        (r"https?://[a-z]+.meteoblue.com", "http://my.meteoblue.com/queue"),
        (r"http://127\.0\.0\.1:18480/hdr/", "http://127.0.0.1:18480/hdr/x"),
        (r"https://[-\w]+.creodias.eu", "https://zipper.creodias.eu/odata"),
        (r"https://(a|b)\.example\.org/", "https://b.example.org/"),
        (r"^https://h\.example", "https://h.example:443/x"),
        (r"https://.*\.example\.org", "https://x.y.example.org/z"),
        ("s3://", "s3://any/key"), ("s3://eodata", "s3://eodata/key"),
    ]
    BAD = [
        ("https://catalogue.dataspace.copernicus.eu", "https://catalogue.dataspace.copernicus.eu.evil.org/"),
        ("https://catalogue.dataspace.copernicus.eu", "https://catalogueXdataspace.copernicus.eu/"),
        ("https://catalogue.dataspace.copernicus.eu", "http://catalogue.dataspace.copernicus.eu/"),
        ("https://catalogue.dataspace.copernicus.eu", "https://catalogue.dataspace.copernicus.eu:8443/"),
        (r"https://[-\w\.]+.blob.core.windows.net", "https://x.blob.core.windows.net.evil.org/"),
        (r"http://127\.0\.0\.1:18480/hdr/", "http://127.0.0.1:184801/hdr/"),
        (r"https://.*\.example\.org", "https://evil.org/.example.org"),
        (r"https://.*\.example\.org", "https://evil.org:1@x.example.org"),
        ("s3://eodata", "s3://eodata2/key"), ("https?://", "https://anything.example/"),
        ("(https://a|https://b)/", "https://a/"), ("h(", "h("),
    ]

    def test_the_whole_host_is_compared(self):
        for pattern, url in self.GOOD:
            self.assertTrue(locations.host_matches(pattern, url), (pattern, url))
        for pattern, url in self.BAD:
            self.assertFalse(locations.host_matches(pattern, url), (pattern, url))

    def test_our_own_prefixes_are_known_whole(self):
        for url in ("https://ours.example/data/b/C", "https://OURS.example:443/data", "https://ours.example/data/"):
            self.assertTrue(glue._is_ours(url), url)
        for url in ("https://ours.example/database", "http://ours.example/data", "https://ours.example.org/data", "x"):
            self.assertFalse(glue._is_ours(url), url)


# --- locations and credentials ---------------------------------------------------------


class Sources(Case):
    def test_own_credentials_go_to_the_own_host(self):
        self.use(b=provider("h.example", header_auth()))
        a = self.ask(item("https://h.example/p/file.tif?a=&b=1#frag"))
        self.assertEqual((a["kind"], a["url"], a["headers"]),
                         ("source", "https://h.example/p/file.tif?a=&b=1", ["X-Key: k"]))
        self.assertEqual((a["media_type"], a["size"], a["filename"], a["method"]), ("image/tiff", 7, "file.tif", "GET"))

    def test_the_href_itself_serves_when_it_is_not_ours(self):
        self.use(b=provider("h.example"))
        it = item(None)
        it["assets"]["x"]["href"] = "https://h.example/direct"
        self.assertEqual(self.ask(it)["url"], "https://h.example/direct")

    def test_another_backends_key_is_refused(self):
        dag = self.use(b=provider("h.example"), other=provider("secret.example", header_auth()))
        self.failed(self.ask(item("https://secret.example/x")), 403)
        self.assertEqual(dag._plugins_manager.built, {})

    def test_a_host_that_only_begins_alike_is_refused(self):
        self.use(b=provider("h.example", header_auth(), matching="https://h.example"))
        self.failed(self.ask(item("https://h.example.evil.org/x")), 403)

    def test_a_login_without_a_pattern_is_for_the_providers_hosts(self):
        self.use(b=provider("h.example", header_auth(), matching=None))
        self.assertEqual(self.ask(item("https://search.h.example/x"))["headers"], ["X-Key: k"])
        self.assertNotIn("headers", self.ask(item("https://cdn.example/x")))

    def test_a_login_for_a_configuration_is_for_the_providers_hosts_too(self):
        conf = provider("h.example", header_auth(), matching=None, base_uri="https://h.example")
        conf.auth.matching_conf = {"base_uri": "https://h.example"}
        self.use(b=conf)
        self.assertEqual(self.ask(item("https://h.example/x"))["headers"], ["X-Key: k"])
        self.assertNotIn("headers", self.ask(item("https://evil.example/x")))
        conf.auth.matching_url = "https://cdn.example/"
        self.assertEqual(self.ask(item("https://cdn.example/x"))["headers"], ["X-Key: k"])
        self.assertNotIn("headers", self.ask(item("https://evil.example/x")))

    def test_without_federation_a_foreign_host_is_searched(self):
        dag = self.use(b=provider("h.example", header_auth()))
        self.failed(self.ask(item("https://foreign.example/x", backends=None)), 404)
        self.assertEqual(len(dag.asked), 1)
        self.assertEqual(self.ask(item("https://h.example/x", backends=None))["kind"], "source")
        self.assertEqual(len(dag.asked), 1)

    def test_headers_of_the_connection_are_no_credentials(self):
        def auth(request):
            request.headers.update({"User-Agent": "eodag", "Host": "evil", "Range": "bytes=0-", "Authorization": "Bearer x"})
        self.use(b=provider("h.example", auth))
        self.assertEqual(self.ask(item("https://h.example/x"))["headers"], ["Authorization: Bearer x"])

    def test_query_arguments_survive_a_login_by_query(self):
        def auth(request):
            request.url = "https://h.example/x?b=1&token=t%2Ft"       # EODAG loses a=
        self.use(b=provider("h.example", auth))
        self.assertEqual(self.ask(item("https://h.example/x?a=&b=1&token=old"))["url"],
                         "https://h.example/x?a=&b=1&token=t%2Ft")

    def test_authentication_may_not_change_the_host(self):
        def auth(request):
            request.url = "https://evil.example/x"
        self.use(b=provider("h.example", auth))
        self.failed(self.ask(item("https://h.example/x")), 500)

    def test_a_signed_url_leaves_the_signers_headers_behind(self):
        def auth(request):
            request.headers["Sub-Key"] = "secret"
            request.url = "https://h.example/x?se=2030-01-01T00%3A00%3A00Z&sig=s"
        auth.signed_url_key = "href"
        self.use(b=provider("h.example", auth))
        a = self.ask(item("https://h.example/x"))
        self.assertNotIn("headers", a)
        self.assertEqual(a["expires_ms"], int(datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc).timestamp() * 1000))

    def test_clients_may_see_what_nothing_of_the_sites_is_in(self):
        def signs(request):
            request.url += "?sig=s"
        signs.signed_url_key = "href"

        def asks(request):
            request.url += "?apikey=k"
        for auth, more, seen in ((None, {}, True), (signs, {}, True), (asks, {}, False), (header_auth(), {}, False),
                                 (None, {"dl_url_params": {"apikey": "k"}}, False)):
            self.use(b=provider("h.example", auth, **more))
            self.assertEqual(self.ask(item("https://h.example/x"))["for_clients"], seen, (auth, more))

    def test_digest_is_left_to_the_mover(self):
        self.use(b=provider("h.example", HTTPDigestAuth("u", "p")))
        a = self.ask(item("https://h.example/x"))
        self.assertEqual((a["digest_user"], a.get("headers")), ("u:p", None))

    def test_settings_of_the_download_come_along(self):
        self.use(b=provider("h.example", ssl_verify=False, dl_url_params={"issuerId": "p"}))
        a = self.ask(item("https://h.example/x?a=1"))
        self.assertEqual((a["tls_verify"], a["url"]), (False, "https://h.example/x?a=1&issuerId=p"))

    def test_no_auth_download_is_for_the_download_link(self):
        self.use(b=provider("h.example", header_auth(), no_auth_download=True))
        self.assertEqual(self.ask(item("https://h.example/x"))["headers"], ["X-Key: k"])
        self.assertNotIn("headers", self.ask(item("https://h.example/x", asset="downloadLink"), asset="downloadLink"))

    def test_post_has_the_query_as_its_body(self):
        self.use(b=provider("h.example", header_auth(), method="POST"))
        a = self.ask(item("https://h.example/q?%7B%22a%22%3A1%7D", asset="downloadLink"), asset="downloadLink")
        self.assertEqual((a["method"], a["url"], json.loads(a["body"])), ("POST", "https://h.example/q", {"a": 1}))
        self.assertEqual(a["headers"], ["X-Key: k", "Content-Type: application/json"])
        self.assertEqual(self.ask(item("https://h.example/x"))["method"], "GET")

    def test_a_subpath_stands_before_the_query(self):
        self.use(b=provider("h.example"))
        a = self.ask(item("https://h.example/z.zarr/?v=1"), subpath="0/1%2F2")
        self.assertEqual(a["url"], "https://h.example/z.zarr/0/1%2F2?v=1")
        self.assertNotIn("size", a)

    def test_what_the_catalogue_says_wrongly_is_as_if_unsaid(self):
        self.use(b=provider("h.example"))
        it = item("https://h.example/a%22b")
        it["assets"]["x"].update({"type": "text/html\r\nX: y", "file:size": -1, "file:checksum": ["x"]})
        a = self.ask(it)
        self.assertFalse({"media_type", "size", "checksum", "filename"} & set(a))
        it["assets"]["x"].update({"type": 1, "file:size": True, "file:checksum": "ab cd"})
        self.assertFalse({"media_type", "size", "checksum"} & set(self.ask(it)))

    def test_locations_that_cannot_be_fetched_are_502(self):
        self.use(b=provider("h.example"))
        for href in ("file:///etc/passwd", "/etc/passwd", "ftp://h/x", "http://u:p@h/x", "http://h\\@evil/x",
                     "http://h:x/", "http://h/\r\nX: y", "http:///x", "gopher://h/", "https://h.example/" + "x" * 16384,
                     "https://h.example/" + "\u00e9" * 4000, "s3://bucket/a%0Ab", "s3://bucket/%00", "https://h.example/\ud800"):
            self.failed(self.ask(item(href)), 502)

    def test_a_post_link_without_end_is_502(self):
        self.use(b=provider("h.example", method="POST"))
        self.failed(self.ask(item("https://h.example/x?" + "[" * 5000, asset="downloadLink"), asset="downloadLink"), 502)

    def test_an_s3_location_is_taken_apart(self):
        class Credentials:
            def get_frozen_credentials(self):
                return collections.namedtuple("F", "access_key secret_key token")("A", "S", None)
        conf = provider("h.example", ServiceResource(), matching="s3://", s3_endpoint="https://s3.example")
        conf.auth.requester_pays = True
        dag = self.use(b=conf)
        plugin = Plugin("b", conf.auth)
        plugin.s3_session = types.SimpleNamespace(get_credentials=Credentials, region_name="eu-central-1")
        dag._plugins_manager.built["b", "auth"] = plugin
        a = self.ask(item("s3://bucket/a/b%20c.tif"))
        want = {"source": "s3", "bucket": "bucket", "s3_key": "a/b c.tif", "s3_access": "A", "s3_secret": "S",
                "s3_region": "eu-central-1", "s3_endpoint": "https://s3.example", "s3_requester_pays": True,
                "s3_anonymous": False}
        self.assertEqual({k: a.get(k) for k in want}, want)
        self.assertNotIn("url", a)
        self.assertEqual(self.ask(item("s3://my.bucket/k"))["bucket"], "my.bucket")
        self.assertEqual(self.ask(item("s3://bucket/a/"))["s3_key"], "a/")      # a tree: sub-paths are below it
        for subpath, key in (("0/1%2F2", "a/0/1/2"), ("b%3Fc%23d", "a/b?c#d"), ("b%2541", "a/b%41")):
            self.assertEqual(self.ask(item("s3://bucket/a/"), subpath=subpath)["s3_key"], key)
        self.failed(self.ask(item("zip+s3://bucket/a.zip!b")), 501)
        self.failed(self.ask(item("s3://bucket/")), 502)

    def test_an_https_location_at_the_s3_endpoint_is_s3_too(self):
        conf = provider("h.example", ServiceResource(), matching="https://s3.example", s3_endpoint="https://s3.example")
        conf.downloader = AwsDownload(conf.download)
        self.use(b=conf)
        a = self.ask(item("https://s3.example/bucket/a/b.tif"))
        self.assertEqual((a["source"], a["bucket"], a["s3_key"]), ("s3", "bucket", "a/b.tif"))

    def test_an_https_location_elsewhere_is_no_bucket_and_gets_no_keys(self):
        """As geodes_s3, cop_marine and earth_search_gcs are: their login is for whatever they download."""
        conf = provider("h.example", ServiceResource(), matching=None, s3_endpoint="https://s3.example")
        conf.auth.matching_conf = {"s3_endpoint": "https://s3.example"}
        conf.auth.s3_endpoint = "https://s3.example"
        conf.downloader = AwsDownload(conf.download)
        self.use(b=conf)
        for href in ("https://portal.example/api/download/x.png", "https://s3.example.org/b/k", "https://xs3.example/b/k",
                     "https://s3.example:8443/b/k", "https://b.s3.eu-west-1.amazonaws.com/k"):
            a = self.ask(item(href))
            self.assertEqual((a["source"], a.get("url"), a.get("headers"), a.get("bucket")), ("http", href, None, None))
        for href, bucket, key in (("https://b.s3.example/a/k", "b", "a/k"), ("http://s3.example/b/a/k", "b", "a/k"),
                                  ("https://s3.example/b/a/", "b", "a/")):
            a = self.ask(item(href))
            self.assertEqual((a["source"], a["bucket"], a["s3_key"], a["s3_endpoint"]), ("s3", bucket, key, "https://s3.example"))
        self.failed(self.ask(item("https://s3.example/b")), 502)

    def test_amazons_hosts_name_their_buckets(self):
        for url, place in (("https://b.s3.us-west-2.amazonaws.com/k", ("b", "k")), ("https://my.b.s3.amazonaws.com/k", ("my.b", "k")),
                           ("https://s3-eu-west-1.amazonaws.com/b/k", ("b", "k")), ("https://s3.amazonaws.com/b/k", ("b", "k")),
                           ("https://b.s3.cn-north-1.amazonaws.com.cn/k", ("b", "k")), ("https://s3.amazonaws.com.evil.example/b/k", None),
                           ("https://ec2.amazonaws.com/b/k", None)):
            self.assertEqual(locations.bucket_and_key(url, None, 0), place, url)

    def test_the_endpoint_of_a_profile_is_where_its_keys_are_for(self):
        """What ~/.aws says stands in boto3's client alone."""
        for said, endpoint in (("https://s3.corp.example", "https://s3.corp.example"), ("https://s3.amazonaws.com", None)):
            auth = ServiceResource()
            auth.meta = types.SimpleNamespace(client=types.SimpleNamespace(meta=types.SimpleNamespace(endpoint_url=said)))
            self.use(b=provider("h.example", auth, matching="s3://"))
            self.assertEqual(self.ask(item("s3://bucket/k")).get("s3_endpoint"), endpoint)

    def test_keys_of_a_role_end_when_those_end_that_were_just_made(self):
        class Credentials:
            _expiry_time = None

            def get_frozen_credentials(self):
                self._expiry_time = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
                return collections.namedtuple("F", "access_key secret_key token")("A", "S", "T")
        conf = provider("h.example", ServiceResource(), matching="s3://", s3_endpoint="https://s3.example")
        plugin = Plugin("b", conf.auth)
        plugin.s3_session = types.SimpleNamespace(get_credentials=Credentials, region_name=None)
        self.use(b=conf)._plugins_manager.built["b", "auth"] = plugin
        self.assertEqual(self.ask(item("s3://bucket/k"))["expires_ms"], 1893456000000)

    def test_fresh_forgets_the_token(self):
        dag = self.use(b=provider("h.example", header_auth()))
        self.ask(item("https://h.example/x"))
        plugin = dag._plugins_manager.built["b", "auth"]
        plugin.token, plugin.refresh_token = "old", "keep"
        self.ask(item("https://h.example/x"), fresh=True)
        self.assertEqual((plugin.token, plugin.refresh_token), ("", "keep"))


class Expiry(Case):
    def ask_with(self, auth, **plugin):
        dag = self.use(b=provider("h.example", auth))
        self.ask(item("https://h.example/x"))
        vars(dag._plugins_manager.built["b", "auth"]).update(plugin)
        return self.ask(item("https://h.example/x"))["expires_ms"]

    def test_nobody_says(self):
        self.assertEqual(self.ask_with(header_auth()), 0)

    def test_the_plugin_says(self):
        end = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
        self.assertEqual(self.ask_with(header_auth(), access_token_expiration=end), int(end.timestamp() * 1000))

    def test_a_token_says(self):
        def jwt(claims):
            return ".".join(base64.urlsafe_b64encode(json.dumps(c).encode()).decode().rstrip("=") for c in ({}, claims)) + ".s"
        auth = header_auth("Authorization", "Bearer " + jwt({"exp": 1900000000}))
        self.assertEqual(self.ask_with(auth), 1900000000000)
        for bad in ({}, {"exp": "x"}, {"exp": -1}, {"exp": 1e300}, {"exp": True}):
            self.assertEqual(self.ask_with(header_auth("Authorization", "Bearer " + jwt(bad))), 0, bad)
        self.assertEqual(self.ask_with(header_auth("Authorization", "Bearer a.!!!.c")), 0)

    def test_a_presigned_url_says(self):
        self.use(b=provider("h.example"))
        a = self.ask(item("https://h.example/x?X-Amz-Date=20300101T000000Z&X-Amz-Expires=60&X-Amz-Signature=s"))
        self.assertEqual(a["expires_ms"], int(datetime.datetime(2030, 1, 1, 0, 1, tzinfo=datetime.timezone.utc).timestamp() * 1000))


# --- the item ----------------------------------------------------------------------


class Items(Case):
    def test_an_item_of_another_name_is_404(self):
        self.use(b=provider("h.example"))
        for change in ({"id": "j"}, {"collection": "D"}, {"id": None}):
            self.failed(self.ask(dict(item("https://h.example/x"), **change)), 404)

    def test_what_is_no_item_is_502(self):
        self.use(b=provider("h.example"))
        for data in (b"", b"[]", b"1", b"{", b"\xff", b"[" * 100000, b'{"assets": []}', b'{"properties": 1}'):
            self.failed(self.ask(data), 502)

    def test_a_missing_asset_is_404_without_a_search(self):
        dag = self.use(b=provider("h.example"))
        self.failed(self.ask(item("https://h.example/x"), asset="y"), 404)
        self.assertEqual(dag.asked, [])

    def test_what_is_not_online_is_searched(self):
        for status in ("ordered", "orderable"):
            dag = self.use(b=provider("h.example"))
            self.failed(self.ask(item("https://h.example/x", **{"order:status": status})), 404)
            self.assertEqual(len(dag.asked), 1)

    def test_auto_order_backends_are_searched(self):
        dag = self.use(wekeo_main=provider("h.example"))
        self.failed(self.ask(item("https://h.example/x", backends=["wekeo_main"]), backend="wekeo_main"), 404)
        self.assertEqual(len(dag.asked), 1)

    def test_a_relative_href_is_relative_to_the_item(self):
        self.use(b=provider("h.example", header_auth()))
        it = item("../files/x.tif?a=1")
        self.failed(self.ask(it), 502)
        it["links"] = ["x", {"rel": "self"}, {"rel": "self", "href": "https://h.example/items/i.json"}]
        self.assertEqual(self.ask(it)["url"], "https://h.example/files/x.tif?a=1")
        it = item("//evil.example/x", backends=None)
        it["links"] = [{"rel": "self", "href": "https://h.example/items/i.json"}]
        self.failed(self.ask(it), 404)      # foreign: searched, not found

    def test_an_unknown_backend_is_404(self):
        self.use(b=provider("h.example"))
        self.failed(self.ask(None, backend="nobody"), 404)


class Searches(Case):
    def found(self, assets=None, location="Not Available", downloader=None, config=None, **properties):
        conf = config or provider("h.example", header_auth())
        dag = self.use(b=conf)
        properties.setdefault("id", "i")
        dag.found = [Product("b", "C", properties, {k: Asset(v) for k, v in (assets or {}).items()}, location,
                             downloader or Downloader(conf.download))]
        return dag

    def test_it_is_asked_for_exactly_this(self):
        dag = self.found({"x": {"href": "https://h.example/x", "type": "image/tiff"}})
        a = self.ask(None)
        self.assertEqual((a["url"], a["headers"], a["media_type"]), ("https://h.example/x", ["X-Key: k"], "image/tiff"))
        self.assertEqual(dag.asked, [{"id": "i", "collection": "C", "provider": "b", "raise_errors": True}])

    def test_another_items_answer_is_404(self):
        self.found({"x": {"href": "https://h.example/x"}}, id="j")
        self.failed(self.ask(None), 404)
        dag = self.found({"x": {"href": "https://h.example/x"}})
        dag.found[0].collection = "D"
        self.failed(self.ask(None), 404)

    def test_another_backends_answer_is_refused(self):
        dag = self.found({"x": {"href": "https://h.example/x"}})
        dag.found[0].provider = "other"
        self.failed(self.ask(None), 403)

    def test_the_download_link_is_the_location(self):
        self.found(location="https://h.example/zip")
        self.assertEqual(self.ask(None, asset="downloadLink")["url"], "https://h.example/zip")

    def test_many_files_are_for_a_carrier(self):
        self.found({"x": {"href": "https://h.example/x"}}, location="https://h.example/zip")
        self.assertEqual(self.ask(None, asset="downloadLink")["kind"], "carry")
        conf = provider("h.example", ignore_assets=True)
        self.found({"x": {"href": "https://h.example/x"}}, location="https://h.example/zip", config=conf)
        self.assertEqual(self.ask(None, asset="downloadLink")["kind"], "source")
        self.found({"x": {"href": "zip+s3://b/k.zip!m"}})
        self.assertEqual(self.ask(None)["kind"], "carry")
        self.found(location="s3://b/prefix", downloader=AwsDownload(Conf()))
        self.assertEqual(self.ask(None, asset="downloadLink")["kind"], "carry")

    def test_an_api_plugin_is_for_a_carrier(self):
        class Usgs(Api):
            config = Conf()
        self.found(downloader=Usgs())
        self.assertEqual(self.ask(None, asset="downloadLink")["kind"], "carry")

    def test_what_is_being_staged_is_pending(self):
        for status in ("ordered", "orderable", "ORDERED"):
            self.found({"x": {"href": "https://h.example/x"}}, config=provider("h.example", order_enabled=True),
                       **{"order:status": status})
            a = self.ask(None)
            self.assertEqual((a["kind"], a["status"]), ("pending", 503))
            self.assertGreater(a["retry_after_s"], 0)

    def test_offline_for_good_is_404(self):
        self.found({"x": {"href": "https://h.example/x"}}, **{"order:status": "orderable"})
        self.failed(self.ask(None), 404)

    def test_no_location_is_404(self):
        self.found({"x": {"href": "Not Available"}})
        self.failed(self.ask(None), 404)
        self.found()
        self.failed(self.ask(None, asset="downloadLink"), 404)

    def test_a_search_does_not_borrow_a_login(self):
        conf = provider("h.example")
        conf.search.need_auth = True
        dag = self.found({"x": {"href": "https://h.example/x"}}, config=conf)
        self.failed(self.ask(None), 500)
        self.assertEqual(dag.asked, [])


# --- what plugins do ------------------------------------------------------------------


class Sneaky(str):
    def __eq__(self, other):
        return True
    __hash__ = str.__hash__


class Plugins(Case):
    def test_wrong_types_are_failures(self):
        def sets(**kwargs):
            def auth(request):
                for name, value in kwargs.items():
                    setattr(request, name, value)
            return auth
        for auth in (sets(url=None), sets(url=Sneaky("https://h.example/x")), sets(url=b"https://h.example/x"),
                     sets(headers={"X": 1}), sets(headers={"X": Sneaky("k")}), sets(headers={1: "x"}),
                     sets(headers=None), HTTPDigestAuth(1, "p"), 42, object()):
            self.use(b=provider("h.example", auth))
            self.assertEqual(self.ask(item("https://h.example/x"))["kind"], "failed", auth)

    def test_what_should_end_the_process_is_not_caught(self):
        for raised in (MemoryError, RecursionError, SystemExit, KeyboardInterrupt):
            def auth(request):
                raise raised
            self.use(b=provider("h.example", auth))
            with self.assertRaises(raised):
                self.ask(item("https://h.example/x"))

    def test_no_text_of_an_exception_is_told(self):
        def auth(request):
            raise ValueError("https://h/?token=canary")
        self.use(b=provider("h.example", auth))
        a = self.ask(item("https://h.example/x"))
        self.failed(a, 502)
        self.assertNotIn("canary", json.dumps(a))
        self.assertRegex(a["reason"], r"^ValueError at test_glue.py:\d+$")


class Response:
    def __init__(self, status, retry_after=None):
        self.status_code, self.headers = status, {"Retry-After": retry_after} if retry_after else {}


class Exceptions(Case):
    """Section 4.3 of the reference note, by name: the classes are EODAG's, requests' and botocore's."""

    TABLE = [
        ("UnsupportedProvider", 404), ("UnsupportedCollection", 404), ("NoMatchingCollection", 404),
        ("AddressNotFound", 404), ("NotAvailableError", 404), ("AuthenticationError", 502), ("MisconfiguredError", 500),
        ("PluginNotFoundError", 500), ("PluginImplementationError", 500), ("QuotaExceededError", 429),
        ("TimeOutError", 504), ("DownloadError", 502), ("ValidationError", 400), ("RequestError", 502),
        ("STACOpenerError", 502), ("InvalidDataError", 502), ("UnsupportedDatasetAddressScheme", 502), ("EodagError", 502),
    ]

    def raising(self, e):
        dag = self.use(b=provider("h.example"))
        dag.found = e
        return self.ask(None)

    def test_each_of_eodags_has_its_status(self):
        base = type("EodagError", (Exception,), {})
        request = type("RequestError", (base,), {})
        for name, status in self.TABLE:
            parent = request if name in ("ValidationError", "DownloadError", "TimeOutError", "QuotaExceededError") else base
            self.failed(self.raising(type(name, (parent,), {})("secret")), status)

    def test_builtin_ones_have_theirs(self):
        for e, status in ((TimeoutError(), 504), (ConnectionError(), 502), (ValueError(), 502), (KeyError(), 500),
                          (NotImplementedError(), 501), (AttributeError(), 500)):
            self.failed(self.raising(e), status)

    def test_the_providers_status_counts(self):
        request = type("RequestError", (Exception,), {})
        for theirs, ours in ((404, 404), (410, 404), (403, 403), (429, 429), (503, 503), (500, 502), (401, 502), (400, 502)):
            e = request()
            e.status_code = theirs
            self.failed(self.raising(e), ours)
            e = type("DownloadError", (Exception,), {})()
            e.__cause__ = type("HTTPError", (OSError,), {})()
            e.__cause__.response = Response(theirs)
            self.failed(self.raising(e), ours)

    def test_retry_after_is_the_providers_or_ours(self):
        e = type("QuotaExceededError", (Exception,), {})()
        self.assertEqual(self.raising(e)["retry_after_s"], 60)
        e.response = Response(429, "17")
        self.assertEqual(self.raising(e)["retry_after_s"], 17)
        e.response = Response(429, "Wed, 21 Oct 2015 07:28:00 GMT")
        self.assertEqual(self.raising(e)["retry_after_s"], 60)

    def test_s3_codes_have_theirs(self):
        for code, status in (("NoSuchKey", 404), ("AccessDenied", 403), ("SlowDown", 503), ("Other", 502)):
            e = type("ClientError", (Exception,), {})()
            e.response = {"Error": {"Code": code}}
            self.failed(self.raising(e), status)


class Setup(Case):
    def setup_with(self, version):
        with mock.patch.object(importlib.metadata, "version", lambda name: version), \
                mock.patch.object(glue, "_silence"), mock.patch.object(glue, "_import_early"):
            return glue.setup(["https://ours.example/data"])

    def test_it_returns_the_providers(self):
        self.assertEqual(self.setup_with("4.7.1"), ["a", "b"])

    def test_the_tested_range_is_kept(self):
        for good in ("4.7.1", "4.8.0", "4.10.1", "4.10.99"):
            self.setup_with(good)
        for bad in ("4.7.0", "4.11.0", "5.0", "3.9.1", "x", ""):
            with self.assertRaisesRegex(glue.SetupError, "tested range"):
                self.setup_with(bad)

    def test_e5_no_provider_lends_its_credentials(self):
        self.setup_with("4.7.1")
        providers = ProvidersDict()
        providers._share_credentials()
        self.assertFalse(hasattr(providers, "lent"))
        with mock.patch.object(ProvidersDict, "_share_credentials", None):
            with self.assertRaisesRegex(glue.SetupError, "lend"):
                self.setup_with("4.7.1")

    def test_a_broken_configuration_tells_no_secret(self):
        def broken():
            raise ValueError("password: canary")
        with mock.patch.object(STUBS["eodag"], "EODataAccessGateway", broken):
            with self.assertRaises(glue.SetupError) as raised:
                self.setup_with("4.10.1")
        self.assertNotIn("canary", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
