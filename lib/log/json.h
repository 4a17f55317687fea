/* Text in log lines that are JSON (RFC 8259). */
#ifndef LIB_LOG_JSON_H
#define LIB_LOG_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "lib/str.h"

/* Makes what stands in str behind at fit to stand between the quotes of a
 * string, in place: quotes, backslashes, control bytes and DEL are escaped;
 * each byte that belongs to no UTF-8 character becomes U+FFFD. What gets longer
 * than max bytes is cut and ends in " [...]". */
void log_json_escape(struct str *str, size_t at, size_t max);

/* The time, in milliseconds since the Epoch. */
uint64_t log_json_now_ms(void);

/* Appends such a time as RFC 3339 writes it: UTC, with milliseconds. */
void log_json_put_time(struct str *out, uint64_t time_ms);

#endif
