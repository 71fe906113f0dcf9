/* SPDX-License-Identifier: Apache-2.0
 *
 * Values with their units written out: "2 TB", "64 MiB", "10s", "30d", "25 %",
 * "1 TB per month".  Readers take the whole text or nothing; writers give a
 * text that the readers take back to the same value.  Pure.
 */
#ifndef CONFIG_UNITS_H
#define CONFIG_UNITS_H

#include "config/config.h"

/* Each: 0, or -1 when text is none of these or does not fit in 63 bits. */
int units_size(const char *text, uint64_t *ret_bytes);		/* "0" needs no unit */
int units_rate(const char *text, uint64_t *ret_bytes);		/* a size, "per second" may follow */
int units_duration(const char *text, uint64_t *ret_ms);		/* ms, s, m, h, d; "0" needs no unit */
/* d, w, y (365 days), at least 1 and at most RETENTION_DAYS_MAX; "never" is 0. */
int units_lifetime(const char *text, uint32_t *ret_days);
int units_percent(const char *text, uint64_t *ret);		/* "25 %", 0 to 100 */
/* "20 per second", with bytes "1 TB per month".  A limit of 0 is none. */
int units_limit(const char *text, bool bytes, uint64_t *ret_n, enum quota_window *ret_window);

void units_put_size(struct buf *out, uint64_t bytes);
void units_put_duration(struct buf *out, uint64_t ms);
void units_put_lifetime(struct buf *out, uint32_t days);
void units_put_limit(struct buf *out, bool bytes, uint64_t n, enum quota_window window);

#endif
