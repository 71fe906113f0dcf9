# SPDX-License-Identifier: Apache-2.0
"""What the resolver does with EODAG: setup() once in the broker, resolve() for each job."""
