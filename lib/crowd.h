/* Those of whom nothing is known yet but where they come from, and who of them goes
 * when there are too many: one of the network that has the most of them; there, one
 * of the part of it that has the most, down to a single address. So whoever comes
 * and comes again, be it from a network of his own, takes the place of his own
 * connections only, and everybody else's stay. (Networks are those of registries and
 * sites, 32 and 48 bits long with IPv6; and 64. With IPv4, 16, 24 and 32 bits.)
 *
 * Costs a look at each of them: for a few hundred. */
#ifndef LIB_CROWD_H
#define LIB_CROWD_H

#include <stdint.h>

#include "lib/addr.h"
#include "lib/list.h"

#define CROWD_STAYS UINT64_MAX

struct crowd_member {
	struct list node;
	uint8_t source[16]; /* IPv4 is mapped; 0 for UNIX sockets */
};

/* rank: of equals, the one with the lowest goes; with CROWD_STAYS, one does not
 * count at all. */
struct crowd {
	struct list members; /* by source */
	uint64_t (*rank)(const struct crowd_member *member);
};

void crowd_init(struct crowd *crowd,
		uint64_t (*rank)(const struct crowd_member *member));

/* member is the caller's, and may not move. */
void crowd_join(struct crowd *crowd, struct crowd_member *member,
		const struct addr *peer);

/* Nothing happens when it has left already. */
void crowd_leave(struct crowd_member *member);

static inline bool crowd_has(const struct crowd_member *member)
{
	return list_linked(&member->node);
}

/* Who goes; is still there. NULL: nobody may. */
struct crowd_member *crowd_choose(const struct crowd *crowd);

#endif
