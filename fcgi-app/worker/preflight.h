/* SPDX-License-Identifier: Apache-2.0
 *
 * A look at a FastCGI request before libfcgi reads it: is it whole, is it
 * well-formed, is it bounded?  libfcgi blocks on half a request, has no
 * maximum, and cuts a value at its first NUL.  Pure.
 */
#ifndef WORKER_PREFLIGHT_H
#define WORKER_PREFLIGHT_H

#include "base/base.h"

enum {
	PREFLIGHT_PARAMS_MAX = 98304,	/* bytes of all parameters */
	PREFLIGHT_BODY_MAX = 16384,	/* bytes of a body that are put up with */
	PREFLIGHT_MAX = 163840,		/* bytes that are looked at, with all framing */
};

enum preflight_verdict {
	PREFLIGHT_MORE,		/* not whole yet */
	PREFLIGHT_WHOLE,	/* parameters and body are there to the end */
	PREFLIGHT_BODY,		/* parameters are there; the body is too large */
	PREFLIGHT_FAULTY,	/* whole, but a parameter is not fit to be read: 400 */
	PREFLIGHT_BAD,		/* no request: close */
};

/* params_done: the parameters are whole and well-formed, so an answer is possible.  Never with BAD. */
enum preflight_verdict preflight(const void *data, size_t len, bool *ret_params_done);

#endif
