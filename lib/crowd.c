#include "lib/crowd.h"

#include <string.h>

/* Neighbours in the list, whose sources begin with the same bytes. */
struct run {
	struct list *first;
	unsigned length; /* with those among them who stay */
	unsigned count;	 /* without */
	struct crowd_member *lowest;
	uint64_t rank; /* of that one */
};

/* Lengths of the networks, in bytes. */
static const size_t prefixes[] = { 4, 6, 8, 14, 15, 16 };

static struct crowd_member *member_at(struct list *node)
{
	return container_of(node, struct crowd_member, node);
}

void crowd_init(struct crowd *crowd,
		uint64_t (*rank)(const struct crowd_member *member))
{
	list_init(&crowd->members);
	crowd->rank = rank;
}

static void set_source(struct crowd_member *member, const struct addr *peer)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memset(member->source, 0, sizeof(member->source));
	if (peer->len == 0)
		return;
	if (peer->sa.sa_family == AF_INET6) {
		memcpy(member->source, &peer->in6.sin6_addr, 16);
	} else if (peer->sa.sa_family == AF_INET) {
		memcpy(member->source, mapped, 12);
		memcpy(member->source + 12, &peer->in.sin_addr, 4);
	}
}

void crowd_join(struct crowd *crowd, struct crowd_member *member,
		const struct addr *peer)
{
	struct list *node, *tmp;

	set_source(member, peer);
	list_each(&crowd->members, node, tmp) {
		if (memcmp(member_at(node)->source, member->source, 16) > 0)
			break;
	}
	list_insert_before(node, &member->node);
}

void crowd_leave(struct crowd_member *member)
{
	list_remove(&member->node);
}

static void run_add(struct run *run, struct crowd_member *member, uint64_t rank)
{
	run->length++;
	if (rank == CROWD_STAYS)
		return;
	run->count++;
	if (run->lowest != NULL && run->rank <= rank)
		return;
	run->lowest = member;
	run->rank = rank;
}

static bool run_is_longer(const struct run *run, const struct run *other)
{
	return run->count > other->count ||
	       (run->count > 0 && run->count == other->count &&
		run->rank < other->rank);
}

static bool run_takes(const struct run *run, const struct crowd_member *member,
		      size_t prefix)
{
	return memcmp(member_at(run->first)->source, member->source, prefix) ==
	       0;
}

/* The longest run of those in one with the same prefix. */
static struct run longest(const struct crowd *crowd, const struct run *all,
			  size_t prefix)
{
	struct run best = { 0 }, run = { 0 };
	struct list *node = all->first;
	unsigned i;

	for (i = 0; i < all->length; i++, node = node->next) {
		struct crowd_member *member = member_at(node);

		if (run.length == 0 || !run_takes(&run, member, prefix))
			run = (struct run){ .first = node };
		run_add(&run, member, crowd->rank(member));
		if (run_is_longer(&run, &best))
			best = run;
	}
	return best;
}

struct crowd_member *crowd_choose(const struct crowd *crowd)
{
	struct run run = { .first = crowd->members.next };
	struct list *node, *tmp;
	size_t i;

	list_each(&crowd->members, node, tmp)
		run.length++;
	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		run = longest(crowd, &run, prefixes[i]);
	return run.lowest;
}
