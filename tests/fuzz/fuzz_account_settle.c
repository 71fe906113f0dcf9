/* SPDX-License-Identifier: Apache-2.0
 *
 * ipc/account.h: account_settle_get (to and from the accountant).
 */
#include "fuzz_message.h"

#include "ipc/account.h"

FUZZ_MESSAGE(account_settle)
