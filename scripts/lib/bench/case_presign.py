# SPDX-License-Identifier: Apache-2.0
"""What a presigned URL costs, which every request to S3 begins with."""

import subprocess

from .case import case
from .system import BUILD

COUNT = 100000


@case("presign", 15, "microseconds for a presigned URL: with the day's key at hand, and with the first of a day")
def presign(bench):
    keys = bench.dir / "keys"
    keys.touch(0o600)
    keys.write_text("[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n"
                    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n")
    count = bench.options.count or COUNT
    kept, made = [], []
    for _ in range(bench.options.runs):
        done = subprocess.run([BUILD / "tests/system/s3_probe", keys, "default", "https://s3.example.org", "eodata", "cache/", "path"],
                              input="time %d\n" % count, stdout=subprocess.PIPE, text=True, check=True, timeout=600)
        one, other = map(float, done.stdout.split())
        kept.append(one)
        made.append(other)
    bench.table.limit("presign", "key at hand", kept, "us", 20)
    bench.table.report("presign", "first of a day", made, "us")
