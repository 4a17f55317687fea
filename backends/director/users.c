#include "backends/director/users.h"

#include <pthread.h>
#include <stdatomic.h>

#include "lib/mem.h"
#include "lib/panic.h"

#define SHARDS DIRECTOR_USER_PARTS
#define FIRST_BUCKETS 16
#define SWEEP 2 /* looked at for each that may come: the table shrinks, too */

struct user {
	struct user *next; /* in its bucket */
	struct list idle;  /* longest idle first; off the list while delivering */
	struct list waiters, inside; /* struct director_visit */
	uint64_t key;
	uint64_t came_us, last_us;
	uint64_t stay; /* numbers the time at this server: see visit_counts() */
	uint32_t server;
	uint32_t deliveries;
};

struct shard {
	pthread_mutex_t lock;
	struct user **buckets;
	size_t size, count; /* size: a power of two */
	size_t idle_count;
	struct list idle;
	uint64_t stays;
};

struct director_users {
	_Atomic uint64_t expire_us;
	_Atomic uint64_t generation; /* for which all were woken */
	_Atomic uint64_t joins; /* deliveries that have come so */
	struct director_claims *claims; /* NULL: there are no other processes */
	_Atomic uint64_t followed, unseen; /* see struct director_shares */
	struct shard shards[SHARDS];
};

/* Tells a visit on its own loop. */
struct director_wake {
	struct director_visit *visit; /* NULL: it has left */
};

/* --- table --- */

/* Keys are digests, but any bits of them may be the same for all. */
static uint64_t spread(uint64_t key)
{
	key *= UINT64_C(0x9e3779b97f4a7c15);
	return key ^ key >> 32;
}

static struct shard *shard_of(struct director_users *users, uint64_t key)
{
	return &users->shards[spread(key) % SHARDS];
}

static struct user **bucket_of(const struct shard *shard, uint64_t key)
{
	return &shard->buckets[spread(key) / SHARDS & (shard->size - 1)];
}

static struct user *find(const struct shard *shard, uint64_t key)
{
	struct user *user = *bucket_of(shard, key);

	while (user != NULL && user->key != key)
		user = user->next;
	return user;
}

static void link_user(struct shard *shard, struct user *user)
{
	struct user **bucket = bucket_of(shard, user->key);

	user->next = *bucket;
	*bucket = user;
}

static void grow(struct shard *shard)
{
	struct user **old = shard->buckets;
	size_t i, old_size = shard->size;

	shard->size *= 2;
	shard->buckets = mem_alloc(shard->size * sizeof(struct user *));
	for (i = 0; i < old_size; i++) {
		while (old[i] != NULL) {
			struct user *user = old[i];

			old[i] = user->next;
			link_user(shard, user);
		}
	}
	mem_free(&old);
}

static struct user *add(struct shard *shard, uint64_t key)
{
	struct user *user = mem_new(struct user);

	if (shard->count == shard->size)
		grow(shard);
	user->key = key;
	list_init(&user->waiters);
	list_init(&user->inside);
	link_user(shard, user);
	shard->count++;
	return user;
}

static void drop(struct shard *shard, struct user *user)
{
	struct user **link = bucket_of(shard, user->key);

	while (*link != user)
		link = &(*link)->next;
	*link = user->next;
	list_remove(&user->idle);
	shard->idle_count--;
	shard->count--;
	mem_free(&user);
}

/* The loop of another thread, where the last delivery ended, may be ahead. */
static bool is_fresh(struct director_users *users, const struct user *user,
		     uint64_t now_us)
{
	return user->deliveries > 0 ||
	       now_us < user->last_us + atomic_load(&users->expire_us);
}

static void sweep(struct director_users *users, struct shard *shard,
		  uint64_t now_us)
{
	unsigned i;

	for (i = 0; i < SWEEP && !list_empty(&shard->idle); i++) {
		struct user *user = list_first(&shard->idle, struct user, idle);

		if (is_fresh(users, user, now_us))
			return;
		drop(shard, user);
	}
}

struct director_users *director_users_new(uint64_t expire_us)
{
	struct director_users *users = mem_new(struct director_users);
	unsigned i;

	atomic_store(&users->expire_us, expire_us);
	for (i = 0; i < SHARDS; i++) {
		struct shard *shard = &users->shards[i];

		pthread_mutex_init(&shard->lock, NULL);
		list_init(&shard->idle);
		shard->size = FIRST_BUCKETS;
		shard->buckets = mem_alloc(shard->size *
					   sizeof(struct user *));
	}
	return users;
}

static void free_shard(struct shard *shard)
{
	while (!list_empty(&shard->idle))
		drop(shard, list_first(&shard->idle, struct user, idle));
	ASSERT(shard->count == 0);
	mem_free(&shard->buckets);
	pthread_mutex_destroy(&shard->lock);
}

void director_users_free(struct director_users **users_p)
{
	unsigned i;

	for (i = 0; *users_p != NULL && i < SHARDS; i++)
		free_shard(&(*users_p)->shards[i]);
	mem_free(users_p);
}

void director_users_set_expire(struct director_users *users,
			       uint64_t expire_us)
{
	atomic_store(&users->expire_us, expire_us);
}

void director_users_share(struct director_users *users,
			  struct director_claims *claims)
{
	users->claims = claims;
}

/* --- waiting --- */

/* On the visit's loop, as is director_users_leave(). */
static void woken(void *arg)
{
	struct director_wake *wake = arg;
	struct director_visit *visit = wake->visit;

	mem_free(&wake);
	if (visit == NULL)
		return;
	visit->wake = NULL;
	visit->state = DIRECTOR_AWAY;
	visit->users = NULL;
	visit->again(visit);
}

/* The shard is locked. */
static void wake_all(struct user *user)
{
	while (!list_empty(&user->waiters)) {
		struct director_visit *visit = list_first(
			&user->waiters, struct director_visit, node);

		list_remove(&visit->node);
		visit->state = DIRECTOR_WOKEN;
		visit->wake = mem_new(struct director_wake);
		visit->wake->visit = visit;
		loop_post(visit->loop, woken, visit->wake);
	}
}

/* --- coming and going --- */

static bool is_flushed(const struct user *user,
		       const struct director_rules *rules)
{
	return user->came_us <= rules->flushed_us(rules->arg, user->server);
}

static bool may_stay(struct director_users *users, const struct user *user,
		     uint64_t now_us, const struct director_rules *rules)
{
	return rules->hold(rules->arg, user->server) == DIRECTOR_KEEPS &&
	       !is_flushed(user, rules) &&
	       is_fresh(users, user, now_us);
}

/* What is still under way to a dead server counts no more. */
static void move_to(struct shard *shard, struct user *user, uint64_t now_us,
		    uint32_t server)
{
	while (!list_empty(&user->inside))
		list_remove(user->inside.next);
	user->server = server;
	user->came_us = now_us;
	user->deliveries = 0;
	user->stay = ++shard->stays;
	wake_all(user);
}

/* Whether the user may be served now, by user->server. */
static bool settle(struct director_users *users, struct shard *shard,
		   struct user *user, uint64_t now_us, uint32_t server,
		   enum director_manner manner,
		   const struct director_rules *rules)
{
	enum director_hold hold = rules->hold(rules->arg, user->server);

	if (user->server == server) {
		if (is_flushed(user, rules))
			user->came_us = now_us; /* to where he was */
		return true;
	}
	if (hold != DIRECTOR_LOST) {
		if (manner == DIRECTOR_MAY_STAY &&
		    may_stay(users, user, now_us, rules))
			return true;
		if (user->deliveries > 0)
			return manner == DIRECTOR_JOINS &&
			       hold != DIRECTOR_UNKNOWN;
	}
	move_to(shard, user, now_us, server);
	return true;
}

bool director_users_shared(struct director_users *users, uint64_t key,
			   const struct director_rules *rules, uint32_t *server_r)
{
	uint64_t number;

	if (users->claims == NULL ||
	    !director_claims_find(users->claims, key, &number))
		return false;
	*server_r = rules->find(rules->arg, number);
	return true;
}

uint32_t director_users_peek(struct director_users *users, uint64_t now_us,
			     uint64_t key, uint32_t server,
			     enum director_manner manner,
			     const struct director_rules *rules)
{
	struct shard *shard = shard_of(users, key);
	const struct user *user;
	uint32_t there;

	pthread_mutex_lock(&shard->lock);
	user = find(shard, key);
	if (user != NULL && manner == DIRECTOR_MAY_STAY &&
	    may_stay(users, user, now_us, rules))
		server = user->server;
	pthread_mutex_unlock(&shard->lock);
	if (director_users_shared(users, key, rules, &there) &&
	    there != DIRECTOR_NO_SERVER &&
	    rules->hold(rules->arg, there) != DIRECTOR_LOST)
		return there;
	return server;
}

/* By rules that another view is about to replace nobody waits: its wake-up may
 * have been here before. */
static void wait_for(struct director_users *users, struct user *user,
		     struct director_visit *visit,
		     const struct director_rules *rules)
{
	list_append(&user->waiters, &visit->node);
	visit->state = DIRECTOR_WAITS;
	if (rules->generation < atomic_load(&users->generation))
		wake_all(user);
}

static uint64_t number_of(const struct director_rules *rules, uint32_t id)
{
	return rules->number(rules->arg, id);
}

/* Another process has the user there. */
static enum director_claim follow(struct director_users *users,
				  struct shard *shard, struct user *user,
				  uint64_t now_us, uint64_t number,
				  const struct director_rules *rules)
{
	uint32_t there = rules->find(rules->arg, number);
	enum director_claim got;

	if (there == DIRECTOR_NO_SERVER)
		return DIRECTOR_CLAIM_ELSEWHERE;
	if (rules->hold(rules->arg, there) == DIRECTOR_LOST)
		return director_claims_seize(users->claims, user->key,
					     number_of(rules, user->server));
	move_to(shard, user, now_us, there);
	got = director_claims_take(users->claims, user->key,
				   number_of(rules, there), &number);
	if (got != DIRECTOR_CLAIM_ELSEWHERE)
		atomic_fetch_add(&users->followed, 1);
	return got;
}

/* Whether the user may be served by user->server as far as other processes go. */
static enum director_claim claim(struct director_users *users,
				 struct shard *shard, struct user *user,
				 uint64_t now_us,
				 const struct director_rules *rules)
{
	enum director_claim got;
	uint64_t number;

	if (users->claims == NULL || user->deliveries > 0)
		return DIRECTOR_CLAIM_TAKEN;
	got = director_claims_take(users->claims, user->key,
				   number_of(rules, user->server), &number);
	if (got == DIRECTOR_CLAIM_ELSEWHERE)
		got = follow(users, shard, user, now_us, number, rules);
	if (got == DIRECTOR_CLAIM_UNSEEN)
		atomic_fetch_add(&users->unseen, 1);
	return got;
}

/* Nobody is here to wake the visit. */
static void repeat(struct shard *shard, struct user *user,
		   struct director_visit *visit, uint64_t now_us)
{
	visit->state = DIRECTOR_WAITS;
	visit->repeats = true;
	if (list_linked(&user->idle))
		return;
	user->last_us = now_us;
	list_append(&shard->idle, &user->idle);
	shard->idle_count++;
}

static void begin(struct shard *shard, struct user *user,
		  struct director_visit *visit)
{
	if (list_linked(&user->idle))
		shard->idle_count--;
	list_remove(&user->idle);
	list_append(&user->inside, &visit->node);
	user->deliveries++;
	visit->state = DIRECTOR_INSIDE;
	visit->stay = user->stay;
}

bool director_users_enter(struct director_users *users,
			  struct director_visit *visit, uint64_t now_us,
			  uint64_t key, uint32_t server,
			  enum director_manner manner,
			  const struct director_rules *rules,
			  uint32_t *server_r)
{
	struct shard *shard = shard_of(users, key);
	enum director_claim got = DIRECTOR_CLAIM_TAKEN;
	struct user *user;
	bool enters = true;

	ASSERT(visit->state == DIRECTOR_AWAY);
	visit->users = users;
	visit->key = key;
	visit->repeats = false;
	pthread_mutex_lock(&shard->lock);
	sweep(users, shard, now_us);
	user = find(shard, key);
	if (user == NULL) {
		user = add(shard, key);
		move_to(shard, user, now_us, server);
	} else {
		enters = settle(users, shard, user, now_us, server, manner,
				rules);
	}
	if (enters)
		got = claim(users, shard, user, now_us, rules);
	if (!enters)
		wait_for(users, user, visit, rules);
	else if (got != DIRECTOR_CLAIM_ELSEWHERE)
		begin(shard, user, visit);
	else
		repeat(shard, user, visit, now_us);
	enters = enters && got != DIRECTOR_CLAIM_ELSEWHERE;
	visit->unseen = got == DIRECTOR_CLAIM_UNSEEN;
	*server_r = user->server;
	if (enters && manner == DIRECTOR_JOINS)
		atomic_fetch_add(&users->joins, 1);
	pthread_mutex_unlock(&shard->lock);
	return enters;
}

static void end(struct director_users *users, struct shard *shard,
		const struct director_visit *visit, uint64_t now_us)
{
	struct user *user = find(shard, visit->key);

	if (user == NULL || user->stay != visit->stay)
		return;
	user->last_us = now_us;
	if (--user->deliveries > 0)
		return;
	if (users->claims != NULL)
		director_claims_give(users->claims, user->key);
	list_append(&shard->idle, &user->idle);
	shard->idle_count++;
	wake_all(user);
}

void director_users_leave(struct director_visit *visit, uint64_t now_us)
{
	struct shard *shard;

	/* Whoever wakes the visit changes its state meanwhile. */
	if (visit->users == NULL)
		return;
	shard = shard_of(visit->users, visit->key);
	pthread_mutex_lock(&shard->lock);
	list_remove(&visit->node);
	if (visit->state == DIRECTOR_INSIDE)
		end(visit->users, shard, visit, now_us);
	if (visit->wake != NULL)
		visit->wake->visit = NULL;
	visit->wake = NULL;
	visit->state = DIRECTOR_AWAY;
	visit->users = NULL;
	pthread_mutex_unlock(&shard->lock);
}

/* --- looking --- */

static void describe(struct director_users *users, const struct user *user,
		     struct director_whereabouts *where)
{
	where->server = user->server;
	where->deliveries = user->deliveries;
	where->expires_us = user->last_us + atomic_load(&users->expire_us);
}

bool director_users_find(struct director_users *users, uint64_t key,
			 uint64_t now_us,
			 struct director_whereabouts *whereabouts_r)
{
	struct shard *shard = shard_of(users, key);
	const struct user *user;
	bool found;

	pthread_mutex_lock(&shard->lock);
	user = find(shard, key);
	found = user != NULL && is_fresh(users, user, now_us);
	if (found)
		describe(users, user, whereabouts_r);
	pthread_mutex_unlock(&shard->lock);
	return found;
}

void director_users_count(struct director_users *users, uint64_t *users_r,
			  uint64_t *busy_r)
{
	unsigned i;

	*users_r = *busy_r = 0;
	for (i = 0; i < SHARDS; i++) {
		struct shard *shard = &users->shards[i];

		pthread_mutex_lock(&shard->lock);
		*users_r += shard->count;
		*busy_r += shard->count - shard->idle_count;
		pthread_mutex_unlock(&shard->lock);
	}
}

void director_users_shares(struct director_users *users,
			   struct director_shares *shares_r)
{
	shares_r->users = users->claims != NULL
				  ? director_claims_count(users->claims) : 0;
	shares_r->followed = atomic_load(&users->followed);
	shares_r->unseen = atomic_load(&users->unseen);
}

static void each_in(struct shard *shard,
		    void (*fn)(void *arg, struct user *user), void *arg)
{
	struct user *user;
	size_t i;

	pthread_mutex_lock(&shard->lock);
	for (i = 0; i < shard->size; i++) {
		for (user = shard->buckets[i]; user != NULL; user = user->next)
			fn(arg, user);
	}
	pthread_mutex_unlock(&shard->lock);
}

/* Calls fn for each user; shard by shard, so that nobody waits for long. */
static void each_user(struct director_users *users,
		      void (*fn)(void *arg, struct user *user), void *arg)
{
	unsigned i;

	for (i = 0; i < SHARDS; i++)
		each_in(&users->shards[i], fn, arg);
}

struct each {
	struct director_users *users;
	void (*fn)(void *arg, uint64_t key,
		   const struct director_whereabouts *where);
	void *arg;
};

static void each_step(void *arg, struct user *user)
{
	const struct each *each = arg;
	struct director_whereabouts where;

	describe(each->users, user, &where);
	each->fn(each->arg, user->key, &where);
}

void director_users_each(struct director_users *users,
			 void (*fn)(void *arg, uint64_t key,
				    const struct director_whereabouts *where),
			 void *arg)
{
	struct each each = { users, fn, arg };

	each_user(users, each_step, &each);
}

void director_users_each_in(struct director_users *users, unsigned part,
			    void (*fn)(void *arg, uint64_t key,
				       const struct director_whereabouts *where),
			    void *arg)
{
	struct each each = { users, fn, arg };

	ASSERT(part < SHARDS);
	each_in(&users->shards[part], each_step, &each);
}

struct lingering {
	director_elsewhere_fn *elsewhere;
	const void *arg;
	unsigned count;
};

static void linger_step(void *arg, struct user *user)
{
	struct lingering *lingering = arg;
	const struct director_visit *visit =
		list_first(&user->inside, struct director_visit, node);

	if (visit != NULL &&
	    lingering->elsewhere(lingering->arg, user->key, visit->hash,
				 visit->tag, user->server))
		lingering->count++;
}

unsigned director_users_lingering(struct director_users *users,
				  director_elsewhere_fn *elsewhere,
				  const void *arg)
{
	struct lingering lingering = { elsewhere, arg, 0 };
	uint64_t joins = atomic_load(&users->joins);

	each_user(users, linger_step, &lingering);
	/* The one may be where we have been, and the one of its transaction that
	 * has let it in may have gone before we came. */
	if (atomic_load(&users->joins) != joins)
		lingering.count++;
	return lingering.count;
}

static void wake_step(void *arg, struct user *user)
{
	(void)arg;
	wake_all(user);
}

void director_users_wake(struct director_users *users, uint64_t generation)
{
	atomic_store(&users->generation, generation);
	each_user(users, wake_step, NULL);
}
