/* Addresses in headers of mail (RFC 5322 3.4). */
#ifndef BACKENDS_LOCAL_MAIL_ADDRESS_H
#define BACKENDS_LOCAL_MAIL_ADDRESS_H

#include <stdbool.h>

#include "lib/str.h"

/* Finds the first address in an unfolded header: display name, comments and source route
 * passed over. Appends its local part, without quotes, and its domain. False: it has not
 * both, or is a group; nothing is appended. */
bool mail_address_first(const char *text, struct str *local, struct str *domain);

#endif
