/* SPDX-License-Identifier: Apache-2.0
 *
 * ipc/resolve.h: resolve_job_get (movers, broker, resolvers).
 */
#include "fuzz_message.h"

#include "ipc/resolve.h"

FUZZ_MESSAGE(resolve_job)
