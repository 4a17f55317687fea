/* Mail by size and number: what there is of it, or how much there may be. */
#ifndef BACKENDS_LOCAL_QUOTA_AMOUNT_H
#define BACKENDS_LOCAL_QUOTA_AMOUNT_H

#include <stdint.h>

/* As a limit, 0 is none. Both fit into an int64_t. */
struct quota_amount {
	uint64_t bytes, messages;
};

#endif
