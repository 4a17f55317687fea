/* Weighted rendezvous. */
#include <math.h>
#include <string.h>

#include "backends/director/hash.h"
#include "backends/director/rendezvous.h"
#include "t/unit/director_helper.h"

#define USERS 1000000

static struct arena *arena;

static void start(void)
{
	arena = arena_new(1024);
}

static void end(void)
{
	arena_free(&arena);
}

TestSuite(rendezvous, .init = start, .fini = end);

static const struct director_rendezvous *of(const char *servers,
					    const char *tag)
{
	const struct director_rendezvous *rendezvous =
		director_rendezvous_new(arena, servers_of(arena, servers), tag);

	cr_assert_not_null(rendezvous);
	return rendezvous;
}

/* Hashes of users: those of their names would be dear for so many. */
static uint64_t user(uint64_t number)
{
	uint64_t x = (number + 1) * 0x9e3779b97f4a7c15U;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
	x = (x ^ x >> 27) * 0x94d049bb133111ebU;
	return x ^ x >> 31;
}

/* The last byte of the server's address. */
static unsigned where(const struct director_rendezvous *rendezvous, uint64_t i)
{
	const struct director_server *server =
		director_rendezvous_find(rendezvous, user(i));

	return ntohl(server->addr.in.sin_addr.s_addr) & 0xff;
}

/* This must not change from one version to the next: mail would go to other
 * servers. */
Test(rendezvous, known_users)
{
	const struct director_rendezvous *rendezvous =
		of("192.0.2.1 192.0.2.2 192.0.2.3*50 2001:db8::1*200", "");
	static const char *const users[][2] = {
		{ "joe@example.org", "192.0.2.1" },
		{ "ann@example.org", "2001:db8::1" },
		{ "bob@example.org", "2001:db8::1" },
		{ "", "192.0.2.2" },
		{ "u1", "2001:db8::1" },
		{ "u2", "2001:db8::1" },
		{ "u3", "192.0.2.2" },
		{ "u4", "192.0.2.3" },
	};
	uint64_t hash;
	size_t i;

	for (i = 0; i < sizeof(users) / sizeof(*users); i++) {
		cr_assert_eq(director_hash(users[i][0], &hash), 0);
		cr_expect_str_eq(director_rendezvous_find(rendezvous, hash)->ip,
				 users[i][1], "%s", users[i][0]);
	}
}

/* 1 % is three times what chance alone would do to the least of them. */
Test(rendezvous, spread_is_that_of_the_weights)
{
	static const unsigned weights[] = { 100, 100, 100, 200, 150, 150, 200 };
	const struct director_rendezvous *rendezvous =
		of("10.0.0.0-10.0.0.2 10.0.0.3*200 10.0.0.4-10.0.0.5*150 "
		   "10.0.0.6*200", "");
	unsigned counts[7] = { 0 }, i;

	for (i = 0; i < USERS; i++)
		counts[where(rendezvous, i)]++;
	for (i = 0; i < 7; i++) {
		double expected = USERS * (double)weights[i] / 1000;

		cr_expect(fabs(counts[i] / expected - 1) < 0.01,
			  "server %u: %u users of %.0f", i, counts[i],
			  expected);
	}
}

static void list_servers(struct str *text, const char *prefix)
{
	unsigned i;

	for (i = 0; i < DIRECTOR_MAX_SERVERS / 256; i++)
		str_printf(text, "%s.%u.0-%s.%u.255 ", prefix, i, prefix, i);
}

/* A reload can bring as many as there may be, and those that were added stay. */
Test(rendezvous, no_server_is_too_many)
{
	struct director_server *all =
		arena_alloc(arena, DIRECTOR_MOST_SERVERS * sizeof(*all));
	const struct director_servers both = { all, DIRECTOR_MOST_SERVERS };
	struct str text = STR_INIT;
	bool *taken = arena_alloc(arena, DIRECTOR_MOST_SERVERS * sizeof(*taken));
	const struct director_rendezvous *rendezvous;
	const struct director_server *server;
	unsigned i, count = 0;

	list_servers(&text, "10.1");
	memcpy(all, servers_of(arena, str_c(&text))->list,
	       DIRECTOR_MAX_SERVERS * sizeof(*all));
	str_clear(&text);
	list_servers(&text, "10.2");
	memcpy(all + DIRECTOR_MAX_SERVERS, servers_of(arena, str_c(&text))->list,
	       DIRECTOR_MAX_SERVERS * sizeof(*all));
	rendezvous = director_rendezvous_new(arena, &both, "");
	for (i = 0; i < 2 * DIRECTOR_MOST_SERVERS; i++) {
		server = director_rendezvous_find(rendezvous, user(i));
		count += !taken[server - all];
		taken[server - all] = true;
	}
	/* By chance, all but a share of exp(-2). */
	cr_expect(fabs((double)count / DIRECTOR_MOST_SERVERS -
		       (1 - exp(-2))) < 0.03, "%u", count);
	str_free(&text);
}

/* Counts the users who move from before to after; all of them have to come from
 * the servers of from, or go to those of to (last bytes; 0: no server). */
static unsigned moves(const char *before, const char *after, unsigned from,
		      unsigned to)
{
	const struct director_rendezvous *old = of(before, "");
	const struct director_rendezvous *new = of(after, "");
	unsigned i, moved = 0;

	for (i = 0; i < USERS / 5; i++) {
		unsigned left = where(old, i), entered = where(new, i);

		if (left == entered)
			continue;
		cr_expect(left == from || entered == to, "%u to %u", left,
			  entered);
		moved++;
	}
	return moved;
}

static void expect_share(unsigned moved, double share)
{
	double expected = USERS / 5 * share;

	cr_expect(fabs(moved / expected - 1) < 0.03, "%u moved, not %.0f",
		  moved, expected);
}

Test(rendezvous, a_change_moves_no_more_than_it_must)
{
	static const char five[] = "10.0.0.1-10.0.0.5";

	cr_expect_eq(moves(five, "10.0.0.4-10.0.0.5 10.0.0.1-10.0.0.3", 0, 0),
		     0);
	expect_share(moves(five, "10.0.0.1-10.0.0.4", 5, 0), 1.0 / 5);
	expect_share(moves(five, "10.0.0.1-10.0.0.6", 0, 6), 1.0 / 6);
	expect_share(moves(five, "10.0.0.1-10.0.0.4 10.0.0.5*0", 5, 0),
		     1.0 / 5);
	/* Its share goes from 1/5 to 1/9, or to 1/3. */
	expect_share(moves(five, "10.0.0.1-10.0.0.4 10.0.0.5*50", 5, 0),
		     1.0 / 5 - 1.0 / 9);
	expect_share(moves(five, "10.0.0.1-10.0.0.4 10.0.0.5*200", 0, 5),
		     1.0 / 3 - 1.0 / 5);
}

Test(rendezvous, tags_and_weights)
{
	static const char text[] = "10.0.0.1 10.0.0.2@x 10.0.0.3*0 10.0.0.3@x "
				   "10.0.0.4*0@z";
	const struct director_rendezvous *none = of(text, "");
	const struct director_rendezvous *tagged = of(text, "x");
	const struct director_rendezvous *alone = of("10.0.0.2 10.0.0.3", "");
	unsigned i;

	for (i = 0; i < 1000; i++) {
		cr_expect_eq(where(none, i), 1);
		cr_expect_eq(where(tagged, i), where(alone, i));
	}
	cr_expect_null(director_rendezvous_find(of(text, "y"), user(0)));
	cr_expect_null(director_rendezvous_find(of(text, "z"), user(0)));
}
