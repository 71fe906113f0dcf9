# SPDX-License-Identifier: Apache-2.0
"""One large object: cached, and cold."""

from .case import case
from .system import free_port, listening, until


@case("hit-bulk", 20, "a large cached object beside the same file as nginx's static file")
def hit_bulk(bench):
    name = bench.origin.large()
    system, size = bench.system, bench.origin.assets[name][0]
    system.warm(name)
    port = free_port()
    bench.nginx("static-nginx", "access_log off; sendfile on; tcp_nopush on;\n"
                "server { listen 127.0.0.1:%d; location /f { alias %s; } }" % (port, system.published(name)))
    listening(port)
    bench.table.compare("hit-bulk", "s", [
        ("eodata-proxy", lambda: system.fetch(system.url(name), "hit", size)),
        ("nginx static", lambda: system.fetch("http://127.0.0.1:%d/f" % port, None, size, auth=False))],
        False, {"nginx static": 0.95})


@case("cold-bulk", 30, "the same object cold (fetched, spooled, checksummed, published) beside nginx proxy_cache filling, "
      "and proxy_pass without buffering")
def cold_bulk(bench):
    name = bench.origin.large()
    system, size = bench.system, bench.origin.assets[name][0]
    cache, port = bench.dir / "anchor-cache", free_port()
    cache.mkdir(mode=0o777)
    cache.chmod(0o777)
    bench.nginx("anchor-nginx", "access_log off; proxy_cache_path %s keys_zone=a:1m max_size=100g;\n"
                "server { listen 127.0.0.1:%d;\n"
                "location /cached/ { proxy_pass %s; proxy_cache a; proxy_cache_valid 200 1h; proxy_cache_key $request_uri;\n"
                "    proxy_max_temp_file_size 20480m; }\n"
                "location /passed/ { proxy_pass %s; proxy_buffering off; proxy_buffer_size 64k; proxy_buffers 8 64k;\n"
                "    proxy_busy_buffers_size 64k; } }" % (cache, port, bench.origin.url, bench.origin.url))
    listening(port)
    anchor, turn = "http://127.0.0.1:%d" % port, iter(range(1000000))

    def ours():
        path = system.published(name)
        if path is not None:
            path.unlink()
        seconds = system.fetch(system.url(name), "fwd=miss; stored", size)
        until(lambda: system.published(name), "the large object in the cache")
        return seconds
    bench.table.compare("cold-bulk", "s", [
        ("eodata-proxy", ours),
        ("nginx proxy_cache", lambda: system.fetch("%s/cached/%s?%d" % (anchor, name, next(turn)), None, size, auth=False)),
        ("nginx proxy_pass", lambda: system.fetch("%s/passed/%s" % (anchor, name), None, size, auth=False))],
        False, {"nginx proxy_cache": 1.0, "nginx proxy_pass": 0.45})
