#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
For scripts/quickstart --item: what the proxy needs to serve one STAC item of
the world.  Runs in the environment that has EODAG.

    quickstart_item.py ITEM_URL ASSET BACKEND DIR

BACKEND may be empty.  Writes DIR/extra.json (for scripts/stack --config-extra)
and, where the item's URL does not say collection and item, a copy of the item
for our own catalogue in DIR/items.  Prints the path of the asset.
"""

import json
import os
import shutil
import sys
import urllib.parse
import urllib.request

ITEM_MAX = 16 << 20


def fetch(url):
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        sys.exit("quickstart: --item wants an http or https URL")
    request = urllib.request.Request(url, headers={"Accept": "application/geo+json, application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        item = json.loads(answer.read(ITEM_MAX))
    if item.get("type") != "Feature" or not isinstance(item.get("assets"), dict):
        sys.exit("quickstart: this is not a STAC item: %s" % url)
    return item


def find_backend(item, url):
    """The item's own word, else the provider of EODAG's own list that searches there."""
    backends = item.get("properties", {}).get("federation:backends")
    if backends:
        return backends[0]
    import eodag
    import yaml
    providers = os.path.join(os.path.dirname(eodag.__file__), "resources", "providers")
    for name in sorted(os.listdir(providers)) if os.path.isdir(providers) else []:
        with open(os.path.join(providers, name), encoding="utf-8") as f:
            for provider in yaml.safe_load_all(f):
                for key, config in named(provider):
                    endpoint = (config.get("search") or config.get("api") or {}).get("api_endpoint", "")
                    base = endpoint[:-len("/search")] if endpoint.endswith("/search") else endpoint
                    if base and url.startswith(base + "/"):
                        return key
    sys.exit("quickstart: EODAG knows no provider for %s: say --backend NAME" % url)


def named(provider):
    if not isinstance(provider, dict):
        return []
    if isinstance(provider.get("name"), str):
        return [(provider["name"], provider)]
    return [(k, v) for k, v in provider.items() if isinstance(v, dict)]


def item_template(url, collection, item_id):
    """The URL with {collection} and {item}, where it has both as segments."""
    parts = urllib.parse.urlsplit(url)
    segments = parts.path.split("/")
    if len(segments) < 4 or urllib.parse.unquote(segments[-1]) != item_id:
        return None
    if segments[-2] != "items" or urllib.parse.unquote(segments[-3]) != collection:
        return None
    segments[-1], segments[-3] = "{item}", "{collection}"
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, "/".join(segments), parts.query, ""))


def eodag_config(where):
    """A private copy of the user's EODAG configuration: the proxy refuses one that others can read."""
    path = os.environ.get("EODAG_CFG_FILE") or os.path.expanduser("~/.config/eodag/eodag.yml")
    if not os.path.exists(path):
        return ""
    copy = os.path.join(where, "eodag.yml")
    shutil.copyfile(path, copy)
    os.chmod(copy, 0o600)
    return copy


def main():
    url, asset, backend, where = sys.argv[1:]
    item = fetch(url)
    if asset not in item["assets"]:
        sys.exit("quickstart: the item has no asset '%s'; it has: %s" % (asset, ", ".join(sorted(item["assets"]))))
    backend = backend or find_backend(item, url)
    collection, item_id = item.get("collection") or "items", item["id"]
    extra = {"eodag": {"config_file": eodag_config(where), "providers_dir": "", "collections_file": ""}}
    template = item_template(url, collection, item_id)
    os.makedirs(os.path.join(where, "items"))
    if template:
        extra["stac"] = {"item_url": template}
    else:
        for value in item["assets"].values():
            value["href"] = urllib.parse.urljoin(url, value.get("href", ""))
        item["collection"] = collection
        folder = os.path.join(where, "items", collection)
        os.makedirs(folder)
        with open(os.path.join(folder, item_id + ".json"), "w", encoding="utf-8") as f:
            json.dump(item, f)
    with open(os.path.join(where, "extra.json"), "w", encoding="utf-8") as f:
        json.dump(extra, f)
    print("/".join(urllib.parse.quote(s, safe="") for s in (backend, collection, item_id, asset)))


if __name__ == "__main__":
    main()
