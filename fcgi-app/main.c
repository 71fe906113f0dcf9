/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's beginning: arguments, then the role.
 */
#include "base/base.h"

int
main(void)
{
	return 0;
}
