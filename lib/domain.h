/* Host names (RFC 952, 1123). */
#ifndef LIB_DOMAIN_H
#define LIB_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

/* Whether text is a host name as DNS and TLS (SNI) know them: up to 255 bytes,
 * labels of 1 to 63 letters, digits, "-" and "_" with single dots between them,
 * perhaps one at the end. An IPv4 address looks like one, too. */
bool domain_is_valid(const char *text, size_t len);

#endif
