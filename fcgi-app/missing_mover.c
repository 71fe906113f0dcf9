/* SPDX-License-Identifier: Apache-2.0
 *
 * NEEDSWORK: stands in for the mover until that is there; then it goes.
 */
#include "base/base.h"

#include "base/log.h"
#include "role.h"

int
mover_run(struct role_env *env)
{
	die("no %s in this build", role_name(env->role));
}
