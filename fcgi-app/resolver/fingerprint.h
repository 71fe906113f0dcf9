/* SPDX-License-Identifier: Apache-2.0
 *
 * What EODAG was set up with, as one text.
 */
#ifndef RESOLVER_FINGERPRINT_H
#define RESOLVER_FINGERPRINT_H

#include "config/config.h"

/* Appends to out: settings, and which version of the files that EODAG reads. */
void fingerprint(const struct config *c, struct buf *out);

#endif
