#include "passdb/cache.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"

#define SECOND UINT64_C(1000000)
#define TTL_MS 10000
#define NEGATIVE_TTL_MS 2000

static struct passdb_cache *cache;
static struct arena *arena;
static struct passdb_cache_answer answer;

static void setup(void)
{
	cache = passdb_cache_new(64 * 1024, TTL_MS, NEGATIVE_TTL_MS);
	arena = arena_new(256);
}

static void teardown(void)
{
	passdb_cache_free(&cache);
	arena_free(&arena);
}

TestSuite(cache, .init = setup, .fini = teardown);

static void put(const char *key, const char *host, uint64_t now_us)
{
	struct passdb_cache_field fields[] = { { "host", host },
					       { "proxy:protected", "" } };
	struct passdb_cache_answer found = { true, fields, 2 };
	struct passdb_cache_answer not_found = { false, NULL, 0 };

	passdb_cache_put(cache, key, strlen(key), now_us,
			 host != NULL ? &found : &not_found);
}

static enum passdb_cache_state get(const char *key, uint64_t now_us)
{
	return passdb_cache_get(cache, key, strlen(key), now_us, arena,
				&answer);
}

static struct passdb_cache_stats stats(void)
{
	struct passdb_cache_stats now;

	passdb_cache_stats(cache, &now);
	return now;
}

Test(cache, gives_back_what_was_put)
{
	cr_assert_eq(get("0\tjoe", 0), PASSDB_CACHE_NONE);
	put("0\tjoe", "192.0.2.1", 0);
	cr_assert_eq(get("0\tjoe", 1), PASSDB_CACHE_FRESH);
	cr_assert(answer.found);
	cr_assert_eq(answer.count, 2);
	cr_expect_str_eq(answer.fields[0].key, "host");
	cr_expect_str_eq(answer.fields[0].value, "192.0.2.1");
	cr_expect_str_eq(answer.fields[1].key, "proxy:protected");
	cr_expect_str_eq(answer.fields[1].value, "");
	cr_assert_eq(get("1\tjoe", 1), PASSDB_CACHE_NONE);
	cr_assert_eq(get("0\tjo", 1), PASSDB_CACHE_NONE);
}

Test(cache, the_answer_outlives_the_entry)
{
	put("joe", "192.0.2.1", 0);
	get("joe", 0);
	passdb_cache_free(&cache);
	cr_assert_str_eq(answer.fields[0].value, "192.0.2.1");
}

Test(cache, grows_stale)
{
	put("joe", "192.0.2.1", SECOND);
	put("nobody", NULL, SECOND);
	cr_expect_eq(get("joe", 11 * SECOND - 1), PASSDB_CACHE_FRESH);
	cr_expect_eq(get("joe", 11 * SECOND), PASSDB_CACHE_STALE);
	cr_expect_eq(get("nobody", 3 * SECOND - 1), PASSDB_CACHE_FRESH);
	cr_expect_not(answer.found);
	cr_expect_eq(get("nobody", 3 * SECOND), PASSDB_CACHE_STALE);
	cr_expect_eq(get("joe", 0), PASSDB_CACHE_FRESH);
}

Test(cache, a_new_answer_takes_the_place_of_the_old)
{
	put("joe", "192.0.2.1", 0);
	put("joe", NULL, 20 * SECOND);
	cr_expect_eq(get("joe", 21 * SECOND), PASSDB_CACHE_FRESH);
	cr_expect_not(answer.found);
	cr_expect_eq(stats().entries, 1);
}

Test(cache, without_a_ttl_nothing_is_kept)
{
	passdb_cache_free(&cache);
	cache = passdb_cache_new(64 * 1024, TTL_MS, 0);
	put("joe", "192.0.2.1", 0);
	put("nobody", NULL, 0);
	cr_expect_eq(get("joe", 0), PASSDB_CACHE_FRESH);
	cr_expect_eq(get("nobody", 0), PASSDB_CACHE_NONE);
}

/* Nobody shall find what is known to be wrong. */
Test(cache, an_answer_that_is_not_kept_takes_the_old_one_away)
{
	char large[5000];

	passdb_cache_free(&cache);
	cache = passdb_cache_new(64 * 1024, TTL_MS, 0);
	put("joe", "192.0.2.1", 0);
	put("joe", NULL, 20 * SECOND);
	cr_expect_eq(get("joe", 20 * SECOND), PASSDB_CACHE_NONE);
	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	put("ann", "192.0.2.1", 0);
	put("ann", large, 20 * SECOND);
	cr_expect_eq(get("ann", 20 * SECOND), PASSDB_CACHE_NONE);
	cr_expect_eq(stats().entries, 0);
}

Test(cache, stays_within_its_size)
{
	char key[32];
	int i;

	put("kept", "192.0.2.1", 0);
	for (i = 0; i < 10000; i++) {
		snprintf(key, sizeof(key), "user%d", i);
		put(key, "192.0.2.1", 0);
		cr_assert_eq(get("kept", 0), PASSDB_CACHE_FRESH);
		cr_assert_leq(stats().bytes, (size_t)64 * 1024);
	}
	cr_expect_eq(get("user0", 0), PASSDB_CACHE_NONE);
	cr_expect_eq(get("user9999", 0), PASSDB_CACHE_FRESH);
	cr_expect_gt(stats().evicted, 9000);
	cr_expect_gt(stats().entries, 100);
}

Test(cache, what_is_large_is_not_kept)
{
	char large[5000];

	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	put("joe", "192.0.2.1", 0);
	put("large", large, 0);
	cr_expect_eq(get("large", 0), PASSDB_CACHE_NONE);
	cr_expect_eq(get("joe", 0), PASSDB_CACHE_FRESH);
}

Test(cache, even_the_smallest_works)
{
	passdb_cache_free(&cache);
	cache = passdb_cache_new(1024, TTL_MS, NEGATIVE_TTL_MS);
	put("joe", "192.0.2.1", 0);
	cr_expect_neq(get("joe", 0), PASSDB_CACHE_STALE);
}

static void *hammer(void *arg)
{
	struct arena *own = arena_new(256);
	struct passdb_cache_answer got;
	char key[32];
	int i;

	(void)arg;
	for (i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "user%d", i % 700);
		if (passdb_cache_get(cache, key, strlen(key), 0, own, &got) !=
		    PASSDB_CACHE_NONE)
			cr_assert_eq(got.count, 2);
		put(key, "192.0.2.1", 0);
	}
	arena_free(&own);
	return NULL;
}

Test(cache, several_threads)
{
	pthread_t threads[4];
	int i;

	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, hammer, NULL);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	cr_assert_leq(stats().bytes, (size_t)64 * 1024);
}
