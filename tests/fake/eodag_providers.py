#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Writes an EODAG configuration whose providers are all tests/fake/provider.py.

    eodag_providers.py DIR BASE_URL

DIR/providers/loop.yml   loop_open, loop_header, loop_basic, loop_qs, loop_qs_tls, loop_token,
                         loop_sas, loop_order, loop_search
DIR/collections.yml      the collections they have
DIR/eodag.yml            the credentials, mode 0600, as an operator would keep them

Each provider's authentication is bound to its own paths by matching_url:
without one EODAG would send no credentials at all.  loop_search has the
header's kind of login; its items show no origin, so they are found by search.
loop_order is open, and what it has must be ordered when order:status says so.
JSON is YAML, so this needs no YAML library.
"""

import json
import os
import re
import sys

COLLECTIONS = ("GENERIC_COLLECTION", "DEMO", "GEOID", "PRIVATE", "S2", "S2-secret")

LOGINS = {
    "loop_open": None,
    "loop_header": ("(assets/hdr|badhdr)", {"type": "HTTPHeaderAuth", "headers": {"X-API-Key": "{apikey}"}}, {"apikey": "k"}),
    "loop_basic": ("assets/basic", {"type": "GenericAuth", "method": "basic"}, {"username": "u", "password": "p"}),
    "loop_qs": ("assets/qs", {"type": "HttpQueryStringAuth"}, {"apikey": "k"}),
    # over TLS, at a port where nobody is
    "loop_qs_tls": ("https://127.0.0.1:1/qs", {"type": "HttpQueryStringAuth"}, {"apikey": "canary"}),
    "loop_token": ("assets/tok", {
        "type": "TokenAuth", "auth_uri": "{base}/token", "token_type": "json", "token_key": "access_token",
        "token_expiration_key": "expires_in", "req_data": {"grant_type": "client_credentials"}, "headers": {},
    }, {"username": "u", "password": "p"}),
    "loop_sas": ("assets/sas", {
        "type": "SASAuth", "auth_uri": "{base}/sas?href={url}", "signed_url_key": "href",
        "headers": {"Ocp-Apim-Subscription-Key": "{apikey}"},
    }, {"apikey": "k"}),
    "loop_order": None,
    "loop_search": ("(assets/hdr|badhdr)", {"type": "HTTPHeaderAuth", "headers": {"X-API-Key": "{apikey}"}}, {"apikey": "k"}),
}


def provider(base, name, login):
    products = {c: {"_collection": c} for c in COLLECTIONS}
    products["GENERIC_COLLECTION"] = {"_collection": "{collection}"}
    config = {
        "name": name,
        "search": {
            "type": "StacSearch", "api_endpoint": base + "/stac/search", "need_auth": False,
            "asset_key_from_href": False,
            "discover_collections": {"fetch_url": None},
            "discover_queryables": {"fetch_url": None, "collection_fetch_url": None},
        },
        "products": products,
        "download": {"type": "HTTPDownload", "auth_error_code": [401, 403]},
    }
    if name == "loop_order":
        config["search"]["metadata_mapping"] = {"order:status": '$.properties."order:status"'}
        config["download"].update(order_enabled=True, order_method="GET")
    if login is not None:
        paths, auth, _ = login
        where = paths if paths.startswith("https:") else re.escape(base).replace("\\-", "-") + "/" + paths
        config["auth"] = dict(auth, matching_url=where + "/")
        if "auth_uri" in auth:
            config["auth"]["auth_uri"] = auth["auth_uri"].replace("{base}", base)
    return config


def s3_provider(name, bucket, endpoint, **auth):
    """One whose assets are in this bucket.  With credentials or without, as EODAG's AwsAuth finds them."""
    config = provider("http://127.0.0.1:9", name, None)
    config["download"] = {"type": "AwsDownload", "s3_endpoint": endpoint}
    # the bucket in the pattern: EODAG gives providers with the same pattern the same credentials
    config["auth"] = {"type": "AwsAuth", "s3_endpoint": endpoint, "matching_url": "s3://" + bucket, **auth}
    return config


def write(path, value, mode):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.fchmod(fd, mode)
    with os.fdopen(fd, "w") as f:
        json.dump(value, f, indent=2)
        f.write("\n")


def write_all(where, providers, credentials):
    os.makedirs(os.path.join(where, "providers"), exist_ok=True)
    write(os.path.join(where, "providers", "loop.yml"), providers, 0o644)
    write(os.path.join(where, "eodag.yml"), {name: {"auth": {"credentials": c}} for name, c in credentials.items()}, 0o600)


def main():
    if len(sys.argv) != 3 or sys.argv[1] == "--help":
        sys.stderr.write("usage: eodag_providers.py DIR BASE_URL\n")
        sys.exit(2)
    where, base = sys.argv[1], sys.argv[2].rstrip("/")
    write_all(where, {name: provider(base, name, login) for name, login in LOGINS.items()},
              {name: login[2] for name, login in LOGINS.items() if login is not None})
    world = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    write(os.path.join(where, "collections.yml"),
          {c: {"description": c, "extent": world} for c in COLLECTIONS}, 0o644)


if __name__ == "__main__":
    main()
