/* md5-ring: Dovecot's. What is expected here was computed by a program of
 * another language; test_director_dovecot.py asks Dovecot itself. */
#include <stdio.h>
#include <string.h>

#include "backends/director/hash.h"
#include "backends/director/ring.h"
#include "t/unit/director_helper.h"

#define SERVERS "192.0.2.1 192.0.2.2 192.0.2.3*50 2001:db8::1*200"

static struct arena *arena;

static void start(void)
{
	arena = arena_new(1024);
}

static void end(void)
{
	arena_free(&arena);
}

TestSuite(ring, .init = start, .fini = end);

static const struct director_ring *ring_of(const char *servers, const char *tag)
{
	const struct director_ring *ring =
		director_ring_new(arena, servers_of(arena, servers), tag, NULL);

	cr_assert_not_null(ring);
	return ring;
}

/* The address of the server at that place of 2^32. */
static const char *at(const struct director_ring *ring, uint32_t place)
{
	return director_ring_find(ring, (uint64_t)place << 32)->ip;
}

static uint64_t user(unsigned number)
{
	uint64_t hash;
	char name[32];

	snprintf(name, sizeof(name), "u%u@example.org", number);
	cr_assert_eq(director_hash(name, &hash), 0);
	return hash;
}

Test(ring, known_users)
{
	static const char *const users[][2] = {
		{ "joe@example.org", "2001:db8::1" },
		{ "ann@example.org", "192.0.2.1" },
		{ "bob@example.org", "192.0.2.2" },
		{ "a", "192.0.2.1" },
		{ "b", "2001:db8::1" },
		{ "", "192.0.2.1" },
		{ "u1", "192.0.2.2" },
		{ "u4", "192.0.2.1" },
	};
	const struct director_ring *ring = ring_of(SERVERS, "");
	uint64_t hash;
	size_t i;

	for (i = 0; i < sizeof(users) / sizeof(*users); i++) {
		cr_assert_eq(director_hash(users[i][0], &hash), 0);
		cr_expect_str_eq(director_ring_find(ring, hash)->ip,
				 users[i][1], "%s", users[i][0]);
	}
}

Test(ring, known_spread)
{
	static const struct {
		const char *ip;
		unsigned users;
	} spread[] = {
		{ "192.0.2.1", 2347 },
		{ "192.0.2.2", 2511 },
		{ "192.0.2.3", 915 },
		{ "2001:db8::1", 4227 },
	};
	const struct director_ring *ring = ring_of(SERVERS, "");
	unsigned counts[4] = { 0 }, i, j;

	for (i = 0; i < 10000; i++) {
		const char *ip = director_ring_find(ring, user(i))->ip;

		for (j = 0; j < 4; j++)
			counts[j] += strcmp(ip, spread[j].ip) == 0;
	}
	for (j = 0; j < 4; j++)
		cr_expect_eq(counts[j], spread[j].users, "%s: %u",
			     spread[j].ip, counts[j]);
}

/* The first point is at 0x2af43, the last at 0xff9577b4. */
Test(ring, is_round)
{
	const struct director_ring *ring = ring_of(SERVERS, "");

	cr_expect_str_eq(at(ring, 0), "192.0.2.2");
	cr_expect_str_eq(at(ring, 1), "192.0.2.2");
	cr_expect_str_eq(at(ring, 0x2af43), "192.0.2.2");
	cr_expect_str_eq(at(ring, 0xff9577b4), "192.0.2.3");
	cr_expect_str_eq(at(ring, 0xff9577b5), "192.0.2.2");
	cr_expect_str_eq(at(ring, 0xffffffff), "192.0.2.2");
}

/* Both have a point at 0xbb739611. */
Test(ring, two_servers_at_one_place)
{
	const struct director_ring *ring = ring_of("10.0.4.1 10.0.3.100", "");

	cr_expect_str_eq(at(ring, 0xbb739610), "10.0.3.100");
	cr_expect_str_eq(at(ring, 0xbb739611), "10.0.4.1");
}

Test(ring, tags_and_weights)
{
	static const char text[] = "10.0.0.1 10.0.0.2@x 10.0.0.3*0 10.0.0.3@x "
				   "10.0.0.4*0@z";
	const struct director_ring *none = ring_of(text, "");
	const struct director_ring *tagged = ring_of(text, "x");
	const struct director_ring *alone = ring_of("10.0.0.2 10.0.0.3", "");
	unsigned i;

	for (i = 0; i < 1000; i++) {
		cr_expect_str_eq(director_ring_find(none, user(i))->ip,
				 "10.0.0.1");
		cr_expect_str_eq(director_ring_find(tagged, user(i))->ip,
				 director_ring_find(alone, user(i))->ip);
	}
	cr_expect_null(director_ring_find(ring_of(text, "y"), user(0)));
	cr_expect_null(director_ring_find(ring_of(text, "z"), user(0)));
}

Test(ring, only_users_of_a_server_that_leaves_move)
{
	const struct director_ring *before = ring_of("10.0.0.1-10.0.0.5", "");
	const struct director_ring *after = ring_of("10.0.0.1-10.0.0.4", "");
	unsigned i, moved = 0;

	for (i = 0; i < 5000; i++) {
		const char *old = director_ring_find(before, user(i))->ip;

		if (strcmp(old, director_ring_find(after, user(i))->ip) == 0)
			continue;
		cr_expect_str_eq(old, "10.0.0.5");
		moved++;
	}
	cr_expect(moved > 500 && moved < 1500, "%u", moved);
}

static const struct director_ring *
next_ring(const struct director_ring *last, const char *servers,
	  const char *tag)
{
	const struct director_ring *ring = director_ring_new(
		arena, servers_of(arena, servers), tag, last);

	cr_assert_not_null(ring);
	return ring;
}

/* Each point decides for the places in front of it: users of all of them. */
static void expect_same(const struct director_ring *ring,
			const struct director_ring *anew)
{
	unsigned i;

	for (i = 0; i < 3000; i++)
		cr_expect_str_eq(director_ring_find(ring, user(i))->ip,
				 director_ring_find(anew, user(i))->ip, "%u", i);
}

/* A list of servers by chance, with some of them twice under other tags. */
static const char *some_servers(void)
{
	struct str text = STR_INIT;
	const char *copy;
	unsigned i;

	for (i = 1; i < 30; i++) {
		if (rand() % 3 == 0)
			continue;
		str_printf(&text, "10.0.0.%u*%d@ ", i, rand() % 120);
		if (rand() % 4 == 0)
			str_printf(&text, "10.0.0.%u*%d@x ", i, rand() % 120);
	}
	str_puts(&text, "10.0.1.1 10.0.1.1@x");
	copy = arena_strdup(arena, str_c(&text));
	str_free(&text);
	return copy;
}

Test(ring, made_of_the_last_one_it_is_the_same)
{
	const struct director_ring *ring = NULL, *tagged = NULL;
	unsigned i;

	srand(11);
	for (i = 0; i < 40; i++) {
		const char *servers = some_servers();

		ring = next_ring(ring, servers, "");
		tagged = next_ring(tagged, servers, "x");
		expect_same(ring, ring_of(servers, ""));
		expect_same(tagged, ring_of(servers, "x"));
	}
}

Test(ring, made_of_one_that_has_nothing)
{
	const struct director_ring *none = ring_of("10.0.0.1@x", "");

	cr_expect_null(director_ring_find(none, user(0)));
	expect_same(next_ring(none, SERVERS, ""), ring_of(SERVERS, ""));
	none = next_ring(ring_of(SERVERS, ""), "10.0.0.1@x", "");
	cr_expect_null(director_ring_find(none, user(0)));
}

/* Both have a point at 0xbb739611. */
Test(ring, two_servers_at_one_place_one_after_the_other)
{
	const char *both = "10.0.4.1 10.0.3.100";

	cr_expect_str_eq(at(next_ring(ring_of("10.0.4.1", ""), both, ""),
			    0xbb739611), "10.0.4.1");
	cr_expect_str_eq(at(next_ring(ring_of("10.0.3.100", ""), both, ""),
			    0xbb739611), "10.0.4.1");
}
