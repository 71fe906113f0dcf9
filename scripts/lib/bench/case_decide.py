# SPDX-License-Identifier: Apache-2.0
"""Small hits: what a decision costs, beside responders that decide nothing."""

import re

from .case import case
from .system import BUILD, WORKERS, free_port, listening, until


@case("decide", 10, "requests a second for a 1 KiB hit through nginx (identity, rules, two quota sets) beside a libfcgi "
      "responder that only answers X-Accel-Redirect to the same file, and one that answers nothing")
def decide(bench):
    name = bench.origin.small()
    system = bench.system
    system.warm(name)
    site = (system.where / "nginx-site.conf").read_text()
    uri = "/_eodata_cache/30d/loop_open/BENCH/%s/data%%40data" % name
    headers = ["Content-Type: application/octet-stream", 'ETag: "x"', "Cache-Status: anchor; hit", "X-Request-Id: anchor"]
    sides = [("eodata-proxy", lambda: system.wrk(system.url(name)))]
    for side, words in (("x-accel responder", ["accel", uri] + headers), ("null responder", ["null"])):
        sock, port = bench.dir / (words[0] + ".sock"), free_port()
        bench.start(BUILD / "tests/fake/responder", sock, WORKERS, *words)
        until(sock.exists, "the responder")
        text = re.sub(r"listen 127\.0\.0\.1:\d+", "listen 127.0.0.1:%d" % port, site)
        bench.nginx(words[0] + "-nginx", text.replace(system.env["FCGI_SOCKET"], str(sock)))
        listening(port)
        url = "http://127.0.0.1:%d%s" % (port, system.path(name))
        sides.append((side, lambda url=url: system.wrk(url)))
    bench.table.compare("decide", "req/s", sides, True, {"x-accel responder": 0.70})
