#include "proxy/user_limit.h"

#include <pthread.h>
#include <string.h>

#include "lib/hash.h"
#include "lib/list.h"
#include "lib/mem.h"
#include "lib/panic.h"

/* As many users as are likely to be under way. */
#define BUCKETS 1024

struct user_count {
	struct list node;
	unsigned number;
	char name[];
};

struct user_limit {
	pthread_mutex_t lock;
	uint64_t seed;
	struct list buckets[BUCKETS]; /* struct user_count */
};

struct user_limit *user_limit_new(void)
{
	struct user_limit *limit = mem_new(struct user_limit);
	unsigned i;

	pthread_mutex_init(&limit->lock, NULL);
	limit->seed = hash_seed();
	for (i = 0; i < BUCKETS; i++)
		list_init(&limit->buckets[i]);
	return limit;
}

void user_limit_free(struct user_limit **limit_p)
{
	struct user_limit *limit = *limit_p;
	unsigned i;

	if (limit == NULL)
		return;
	for (i = 0; i < BUCKETS; i++)
		ASSERT(list_empty(&limit->buckets[i]));
	pthread_mutex_destroy(&limit->lock);
	mem_free(limit_p);
}

/* Makes one with the number 0 if there is none. */
static struct user_count *find(struct user_limit *limit, const char *user)
{
	size_t len = strlen(user);
	uint64_t hash = hash_bytes(limit->seed, user, len);
	struct list *bucket = &limit->buckets[hash % BUCKETS], *node;
	struct user_count *count;

	for (node = bucket->next; node != bucket; node = node->next) {
		count = container_of(node, struct user_count, node);
		if (strcmp(count->name, user) == 0)
			return count;
	}
	count = mem_alloc(sizeof(*count) + len + 1);
	memcpy(count->name, user, len + 1);
	list_append(bucket, &count->node);
	return count;
}

struct user_count *user_limit_enter(struct user_limit *limit, const char *user,
				    unsigned max)
{
	struct user_count *count;

	ASSERT(max > 0);
	pthread_mutex_lock(&limit->lock);
	count = find(limit, user);
	if (count->number < max)
		count->number++;
	else
		count = NULL;
	pthread_mutex_unlock(&limit->lock);
	return count;
}

void user_limit_leave(struct user_limit *limit, struct user_count **count_p)
{
	struct user_count *count = *count_p;

	*count_p = NULL;
	if (count == NULL)
		return;
	pthread_mutex_lock(&limit->lock);
	if (--count->number == 0)
		list_remove(&count->node);
	else
		count = NULL;
	pthread_mutex_unlock(&limit->lock);
	mem_free(&count);
}
