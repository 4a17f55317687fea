/* Random readers against the plain message. */
#include "t/unit/spool_helper.h"

TestSuite(spool_random, .init = setup, .fini = teardown, .timeout = 60);

struct script {
	uint32_t seed;
	uint64_t total;
	size_t slack; /* memory beyond the window that is fine */
};

static uint32_t next_random(struct script *script, uint32_t below)
{
	script->seed = script->seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)script->seed * below) >> 32);
}

static void random_write(struct script *script)
{
	size_t len = next_random(script, 40 * KIB), room;
	char *to;

	if (len > script->total - spool_size(spool))
		len = (size_t)(script->total - spool_size(spool));
	if (spool_finished(spool) || spool_full(spool))
		return;
	if (next_random(script, 2) == 0) {
		put(len);
	} else {
		to = spool_reserve(spool, &room);
		fill(to, spool_size(spool), len < room ? len : room);
		spool_commit(spool, len < room ? len : room);
	}
	if (spool_size(spool) == script->total)
		spool_finish(spool);
}

static void random_step(struct script *script, int count)
{
	uint32_t what = next_random(script, 100);
	struct probe *probe = &probes[next_random(script, (uint32_t)count)];
	int calls = writable_calls;
	bool was_full = spool_full(spool);

	if (what < 40)
		random_write(script);
	else if (what == 40 && next_random(script, 20) == 0)
		spool_reader_remove(&probe->reader);
	else if (what < 80) /* reader 0 is the fastest, and so on */
		take(probe, next_random(script, 60 * KIB) >>
				    (2 * (probe - probes)));
	else
		pump();
	cr_assert_leq(spool_memory(spool),
		      settings.window + script->slack);
	if (!was_full || spool_full(spool))
		return;
	pump();
	cr_assert_gt(writable_calls, calls, "the writer was not told");
}

static void random_run(uint32_t seed, size_t window, int count)
{
	struct script script = { seed, 0, (size_t)(count + 2) * 64 * KIB };
	int i, steps = 0;

	restart(window, dir);
	add(count);
	script.total = next_random(&script, 3 * MIB);
	while (!spool_finished(spool) && steps++ < 3000)
		random_step(&script, count);
	while (!spool_finished(spool)) {
		for (i = 0; i < count; i++)
			if (probes[i].reader.spool != NULL)
				take_all(&probes[i]);
		cr_assert_not(spool_full(spool), "stuck, seed %u", seed);
		random_write(&script);
	}
	for (i = 0; i < count; i++) {
		if (probes[i].reader.spool == NULL)
			continue;
		take_all(&probes[i]);
		cr_assert(at_end(&probes[i]), "seed %u", seed);
	}
	cr_assert_eq(open_files(), 0);
}

Test(spool_random, random_readers)
{
	static const size_t windows[] = { 4 * KIB, 50 * KIB, WINDOW };
	uint32_t seed;

	for (seed = 1; seed <= 30; seed++)
		random_run(seed, windows[seed % 3], 1 + (int)seed % 4);
}

Test(spool_random, random_readers_and_a_full_disk)
{
	struct script script = { 7, 4 * MIB, 6 * 64 * KIB };
	int i, steps = 0;

	limit_files(400 * KIB);
	add(4);
	while (!spool_finished(spool)) {
		random_step(&script, 4);
		cr_assert_lt(steps++, 100000, "stuck");
	}
	for (i = 0; i < 4; i++) {
		struct spool_reader *reader = &probes[i].reader;

		if (reader->spool != NULL && !reader->lost)
			take_all(&probes[i]);
	}
	pump();
}
