/* SPDX-License-Identifier: Apache-2.0
 *
 * ipc/handover.h: handover_get (worker to mover).
 */
#include "fuzz_message.h"

#include "ipc/handover.h"

FUZZ_MESSAGE(handover)
