# SPDX-License-Identifier: Apache-2.0
"""
Where a stack keeps its objects, for tests that do not care where: a directory, or a
bucket of the engine of s3_engine.py.  Each store can

    config(**members)   what it needs of a stack's configuration
    find(asset)         the object's name there (a path, a key), or None
    published(asset)    the same, when it is a hit for everybody
    read(asset)         (bytes, metadata)
    remove(asset)       as retention does
    write(asset, data)  other bytes, with the metadata that was there
"""

import json
import os
import urllib.parse
import xml.etree.ElementTree as ET

META = "x-amz-meta-eodata"
PART = "5 MiB"          # the smallest that S3 takes


class Directory:
    kind = "directory"
    remembers = False       # what is gone is gone at once

    def __init__(self, root):
        self.root = root

    def config(self):
        return {}

    def find(self, asset):
        wanted = urllib.parse.quote(asset.name, safe="")
        for folder, dirs, files in os.walk(self.root):
            if folder == self.root and "spool" in dirs:
                dirs.remove("spool")
            for name in files:
                path = os.path.join(folder, name)
                if "/%s/" % wanted in path and name.endswith("@data") and os.path.exists(path[:-4] + "meta"):
                    return path
        return None

    published = find

    def retention(self, asset):
        return os.path.relpath(self.find(asset), self.root).split("/")[0]

    def read(self, asset):
        path = self.find(asset)
        with open(path, "rb") as data, open(path[:-4] + "meta", "rb") as meta:
            return data.read(), json.load(meta)

    def remove(self, asset):
        os.unlink(self.find(asset))

    def write(self, asset, data):
        path = self.find(asset)
        with open(path + ".new", "wb") as f:
            f.write(data)
        os.rename(path + ".new", path)


class Bucket:
    kind = "s3"
    remembers = True        # what was found is believed for a while

    def __init__(self, engine, name):
        self.engine, self.name = engine, name

    def config(self, **members):
        """memcached remembers what is in it; memory_key="": it does not."""
        keys, secret = (os.path.join(self.engine.where, name) for name in ("keys", "memory.key"))
        self.engine.write_keys(keys)
        if not os.path.exists(secret):
            with open(secret, "w", encoding="ascii") as f:
                os.fchmod(f.fileno(), 0o600)
                f.write(os.urandom(32).hex())
        # memcached_timeout: where one answer is late, workers know nothing of what is in the bucket for a second
        return {"memcached_timeout": "2s",
                "cache": {"store": "s3", "s3": {"endpoint": self.engine.url, "bucket": self.name, "credentials": keys,
                                                  "part_size": PART, "memory_key": secret, **members}}}

    def ask(self, method, key="", query=(), **more):
        return self.engine.request(method, "/%s/%s" % (self.name, key) if key else "/" + self.name, list(query), **more)

    def list(self, query, element, name):
        """Whole: each answer has a thousand at most."""
        found, more = [], []
        while more is not None:
            answer = self.ask("GET", query=[*query, *more])
            assert answer.status == 200, answer
            root = ET.fromstring(answer.body)
            space = root.tag[:root.tag.index("}") + 1]
            found += [e.find(space + name).text for e in root.iter(space + element)]
            token = root.find(space + "NextContinuationToken")
            more = None if token is None else [("continuation-token", token.text)]
        return found

    def keys(self, prefix=""):
        return self.list([("list-type", "2"), ("prefix", prefix)], "Contents", "Key")

    def uploads(self, asset=None):
        """Keys of those that are under way, of an asset or at all."""
        found = self.list([("uploads", "")], "Upload", "Key")
        return [key for key in found if asset is None or "/%s/" % asset.path.split("/")[4] in key]

    def find(self, asset):
        backend, collection, item = asset.path.split("/")[2:5]
        for retention in asset.stack.config()["cache"]["retentions"]:
            for key in self.keys("/".join((retention, backend, collection, item, ""))):
                return key
        return None

    def published(self, asset):
        """S3 shows it a moment before its mover has heard that."""
        key = self.find(asset)
        return key if key is not None and asset.stack.request("HEAD", asset.path).is_hit else None

    def retention(self, asset):
        return self.find(asset).split("/")[0]

    def kept(self, asset):
        """(bytes, metadata, headers), or None."""
        key = self.find(asset)
        if key is None:
            return None
        answer = self.ask("GET", key)
        assert answer.status == 200, (key, answer)
        return answer.body, json.loads(answer.headers.get(META, "null")), answer.headers

    def read(self, asset):
        return self.kept(asset)[:2]

    def remove(self, asset):
        assert self.ask("DELETE", self.find(asset)).status == 204

    def write(self, asset, data):
        headers = self.kept(asset)[2]
        assert self.ask("PUT", self.find(asset), body=data, headers={META: headers[META]}).status == 200
