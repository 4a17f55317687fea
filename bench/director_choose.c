/* What the director costs one node: choosing a server, a new view after a
 * change, and the table of users. CPU time, of one thread. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backends/director/hash.h"
#include "backends/director/map.h"
#include "backends/director/users.h"
#include "lib/mem.h"

#define USERS 1000000

static uint64_t *hashes;

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void make_users(void)
{
	char name[64];
	unsigned i;

	hashes = mem_alloc(USERS * sizeof(*hashes));
	for (i = 0; i < USERS; i++) {
		snprintf(name, sizeof(name), "user%u@example.org", i);
		if (director_hash(name, &hashes[i]) < 0)
			exit(EXIT_FAILURE);
	}
}

/* --- servers --- */

static struct director_servers make_servers(struct arena *arena, unsigned count)
{
	struct director_server *list = arena_alloc(arena,
						   count * sizeof(*list));
	unsigned i;

	for (i = 0; i < count; i++) {
		list[i].ip = arena_printf(arena, "10.%u.%u.%u", i >> 16,
					  i >> 8 & 255, i & 255);
		addr_parse_ip(&list[i].addr, list[i].ip, 0);
		list[i].tag = "";
		list[i].weight = DIRECTOR_WEIGHT;
		list[i].id = i;
	}
	return (struct director_servers){ list, count };
}

static void choose_all(const struct director_map *map, uint32_t *chosen)
{
	unsigned i;

	for (i = 0; i < USERS; i++)
		chosen[i] = director_map_find(map, "", hashes[i])->id;
}

/* The largest distance from an equal share, in percent of it. */
static double worst(const uint32_t *chosen, unsigned count)
{
	unsigned *shares = mem_alloc(count * sizeof(*shares));
	double share = (double)USERS / count, distance, most = 0;
	unsigned i;

	for (i = 0; i < USERS; i++)
		shares[chosen[i]]++;
	for (i = 0; i < count; i++) {
		distance = 100 * (shares[i] - share) / share;
		if (distance < 0)
			distance = -distance;
		if (distance > most)
			most = distance;
	}
	mem_free(&shares);
	return most;
}

/* Users who change their server when the last one goes, and how many of them
 * had to. */
static void moved_by_loss(const struct director_map *after_loss,
			  unsigned lost, const uint32_t *before,
			  unsigned *moved_r, unsigned *had_to_r)
{
	uint32_t *after = mem_alloc(USERS * sizeof(*after));
	unsigned i;

	choose_all(after_loss, after);
	*moved_r = *had_to_r = 0;
	for (i = 0; i < USERS; i++) {
		*moved_r += before[i] != after[i];
		*had_to_r += before[i] == lost;
	}
	mem_free(&after);
}

static void measure_map(unsigned count, enum director_method method)
{
	struct arena *arena = arena_new(65536);
	struct director_servers servers = make_servers(arena, count);
	struct director_servers fewer = { servers.list, count - 1 };
	uint32_t *chosen = mem_alloc(USERS * sizeof(*chosen));
	double begin = now_ns(), made, made_next, done;
	const struct director_map *next, *map =
		director_map_new(arena, &servers, method, NULL);
	unsigned moved, had_to;

	made = now_ns();
	next = director_map_new(arena, &fewer, method, map);
	made_next = now_ns();
	choose_all(map, chosen);
	done = now_ns();
	moved_by_loss(next, fewer.count, chosen, &moved, &had_to);
	printf("| %-10s | %5u | %5.0f | %6.2f | %6.2f | %5.1f | %.2f |\n",
	       method == DIRECTOR_MD5_RING ? "md5-ring" : "rendezvous", count,
	       (done - made_next) / USERS, (made - begin) / 1e6,
	       (made_next - made) / 1e6, worst(chosen, count),
	       (double)moved / had_to);
	mem_free(&chosen);
	arena_free(&arena);
}

/* --- users --- */

static enum director_hold keeps(const void *arg, uint32_t id)
{
	(void)arg;
	(void)id;
	return DIRECTOR_KEEPS;
}

static uint64_t never(const void *arg, uint32_t id)
{
	(void)arg;
	(void)id;
	return 0;
}

static void visit_all(struct director_users *users, struct loop *loop,
		      uint64_t now_us)
{
	static const struct director_rules rules = {
		.hold = keeps,
		.flushed_us = never,
	};
	uint32_t server;
	unsigned i;

	for (i = 0; i < USERS; i++) {
		struct director_visit visit = { .loop = loop };

		director_users_enter(users, &visit, now_us, hashes[i], 0,
				     DIRECTOR_MAY_STAY,
				     &rules, &server);
		director_users_leave(&visit, now_us);
	}
}

static void measure_users(void)
{
	struct loop *loop = loop_new();
	struct director_users *users = director_users_new(UINT64_C(900000000));
	size_t before = mallinfo2().uordblks, after;
	double begin = now_ns(), middle, end;

	visit_all(users, loop, 1);
	after = mallinfo2().uordblks;
	middle = now_ns();
	visit_all(users, loop, 2);
	end = now_ns();
	printf("\na delivery's visit in a table of %u users: %.0f ns (%.0f ns "
	       "for a user who is new), %.0f bytes for each user\n", USERS,
	       (end - middle) / USERS, (middle - begin) / USERS,
	       (double)(after - before) / USERS);
	director_users_free(&users);
	loop_free(&loop);
}

int main(void)
{
	static const unsigned counts[] = { 4, 10, 100, 500, 1000 };
	unsigned i;

	make_users();
	puts("| director_hash | servers | ns for a choice | ms for the first view | "
	     "ms for the next one | "
	     "% off an equal share | moved by a loss, of those who have to |\n"
	     "| --- | --- | --- | --- | --- | --- | --- |");
	for (i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		measure_map(counts[i], DIRECTOR_MD5_RING);
	for (i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		measure_map(counts[i], DIRECTOR_RENDEZVOUS);
	measure_users();
	mem_free(&hashes);
	return EXIT_SUCCESS;
}
