/* What the supervisor tells a crew (deliver/crew.h): what its members have to keep to,
 * how many there may be, and where they log, as bytes. No I/O here.
 *
 * Numbers are little-endian; a text is its length and 1 in 32 bits, its bytes, and a NUL,
 * or 0 in 32 bits for none. */
#ifndef DELIVER_CREW_ORDER_H
#define DELIVER_CREW_ORDER_H

#include <stddef.h>

#include "backends/local/deliver.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "lib/log/log.h"
#include "lib/str.h"

/* The most bytes that an order may have. */
#define CREW_ORDER_MAX (16 * 1024 * 1024)

struct crew_order {
	struct local_policy policy; /* without expand, which is NULL */
	unsigned limit;		    /* members at a time; more than 0 */
	const char *name;	    /* instance_name */
	struct log_settings logs;
};

/* Appends an order. -1 when it is too large. */
int crew_order_encode(struct str *out, const struct crew_order *order,
		      struct err *err);

/* Reads one, whose texts stay in data and whose lists are in arena. -1 unless every
 * byte is as crew_order_encode() writes it, and in range. */
int crew_order_decode(struct crew_order *order, struct arena *arena,
		      const void *data, size_t len, struct err *err);

#endif
