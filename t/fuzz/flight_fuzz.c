/* Equal lookups on several threads at once: the input says what each thread
 * does, one byte after the other. No user may be asked for twice at a time, and
 * nobody may wait for ever. Also for the thread sanitizer. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "passdb/shared.h"
#include "t/fuzz/fuzz.h"

#define MAX_SIZE 4096
#define THREADS 3
#define USERS 4
#define SLOTS 6 /* lookups at a time, of each thread */

/* What a byte says: what to do, and to which user or slot. */
enum op { OP_START, OP_CANCEL, OP_ANSWER, OP_TURN };

struct slot {
	struct passdb_request request;
	struct arena *arena;
};

struct thread {
	pthread_t id;
	unsigned number;
	const uint8_t *data;
	size_t size;
	struct loop *loop;
	struct passdb *passdb;
	struct slot slots[SLOTS];
	struct passdb_request *asked[SLOTS]; /* and not answered */
	unsigned waiting;
	bool leaving; /* nothing but ends comes now */
};

static const char *const users[USERS] = { "joe", "ann", "eve", "bob" };
static struct passdb_shared *shared;
static struct passdb_client client;
static struct log_ctx log_ctx;
static pthread_barrier_t barrier;
static atomic_uint under_way[USERS]; /* questions */
static __thread struct thread *self;

/* --- the passdb --- */

static unsigned user_of(const struct passdb_request *request)
{
	unsigned i = 0;

	while (strcmp(users[i], request->username) != 0)
		i++;
	return i;
}

/* joe and ann exist, eve does not, and nobody knows of bob. */
static enum passdb_answer say(struct passdb_request *request)
{
	struct passdb_key key = passdb_key_parse(request->arena, "host");
	struct err err;

	ASSERT(atomic_fetch_sub(&under_way[user_of(request)], 1) == 1);
	if (user_of(request) > 1)
		return user_of(request) == 2 ? PASSDB_ANSWER_NOT_FOUND
					     : PASSDB_ANSWER_FAIL;
	passdb_request_put(request, &key, request->username, &err);
	return PASSDB_ANSWER_FOUND;
}

static enum passdb_answer fake_lookup(void *state,
				      struct passdb_request *request)
{
	(void)state;
	ASSERT(atomic_fetch_add(&under_way[user_of(request)], 1) == 0);
	if (self->leaving)
		return say(request);
	self->asked[self->waiting++] = request;
	return PASSDB_ANSWER_WAIT;
}

static void fake_cancel(struct passdb_request *request)
{
	unsigned i = 0;

	while (self->asked[i] != request)
		i++;
	ASSERT(i < self->waiting);
	self->asked[i] = self->asked[--self->waiting];
	ASSERT(atomic_fetch_sub(&under_way[user_of(request)], 1) == 1);
}

static bool fake_key(void *state, const struct passdb_request *request,
		     struct str *key)
{
	(void)state;
	str_puts(key, request->username);
	return true;
}

static void fake_close(void *state)
{
	(void)state;
}

static const struct passdb_driver fake = {
	.name = "fake",
	.lookup = fake_lookup,
	.cancel = fake_cancel,
	.cache_key = fake_key,
	.close = fake_close,
};

static void answer(unsigned i)
{
	struct passdb_request *request = self->asked[i];

	self->asked[i] = self->asked[--self->waiting];
	passdb_answer(request, say(request));
}

/* --- lookups --- */

static void lookup_done(struct passdb_request *request)
{
	struct slot *slot = container_of(request, struct slot, request);
	const char *host = passdb_fields_get(&request->fields, "host");

	switch (user_of(request)) {
	case 0:
	case 1:
		ASSERT(request->result == PASSDB_OK &&
		       strcmp(host, request->username) == 0);
		break;
	case 2:
		ASSERT(request->result == PASSDB_NOT_FOUND);
		break;
	case 3:
		ASSERT(request->result == PASSDB_FAIL);
		break;
	}
	arena_free(&slot->arena);
	if (self->leaving)
		loop_stop(self->loop);
}

static void slot_start(struct slot *slot, const char *user)
{
	if (slot->request.passdb != NULL)
		return;
	slot->arena = arena_new(256);
	slot->request = (struct passdb_request){
		.arena = slot->arena, .user = user, .client = &client,
		.log = &log_ctx, .done = lookup_done,
	};
	passdb_lookup(self->passdb, &slot->request);
}

static void slot_cancel(struct slot *slot)
{
	passdb_cancel(&slot->request);
	arena_free(&slot->arena);
}

static bool all_done(void)
{
	unsigned i;

	for (i = 0; i < SLOTS; i++) {
		if (self->slots[i].request.passdb != NULL)
			return false;
	}
	return true;
}

/* --- threads --- */

static void stop(void *arg)
{
	loop_stop(arg);
}

static void turn(void)
{
	loop_post(self->loop, stop, self->loop);
	loop_run(self->loop);
}

static void run_op(uint8_t byte)
{
	unsigned what = byte >> 2, i;

	switch ((enum op)(byte & 3)) {
	case OP_START:
		for (i = 0; i < SLOTS - 1 &&
		     self->slots[i].request.passdb != NULL; i++)
			;
		slot_start(&self->slots[i], users[what % USERS]);
		break;
	case OP_CANCEL:
		slot_cancel(&self->slots[what % SLOTS]);
		break;
	case OP_ANSWER:
		if (self->waiting > 0)
			answer(what % self->waiting);
		break;
	case OP_TURN:
		turn();
		break;
	}
}

static void *thread_main(void *arg)
{
	size_t i;

	self = arg;
	pthread_barrier_wait(&barrier);
	for (i = self->number; i < self->size; i += THREADS)
		run_op(self->data[i]);
	self->leaving = true;
	while (self->waiting > 0)
		answer(0);
	while (!all_done())
		loop_run(self->loop);
	passdb_free(&self->passdb);
	return NULL;
}

/* --- once for all inputs, but for the cache --- */

static void setup(void)
{
	static struct passdb_block block = {
		.driver = "static", .args = "nopassword=y", .name = "",
		.default_fields = "", .override_fields = "",
		.mechanisms = "", .username_filter = "", .file = "fuzz",
		.result_success = PASSDB_RETURN_OK,
		.result_failure = PASSDB_CONTINUE,
		.result_internalfail = PASSDB_CONTINUE,
	};
	static struct passdb_settings settings = {
		.blocks = &block, .count = 1, .username_chars = "",
		.username_translation = "", .username_format = "%u",
		.default_realm = "", .proxy_self = "", .hostname = "h",
		.lookup_timeout_ms = 600000, .cache_size = 65536,
	};
	const struct log_settings log = {
		.path = "/dev/null", .info_path = "", .debug_path = "",
		.timestamp = "", .syslog_facility = "mail", .prefix = "",
	};
	struct passdb_entry *entry;
	struct err err;

	ASSERT(log_open(&log, &err) == 0);
	shared = passdb_shared_new(loop_new(), &settings, &err);
	ASSERT(shared != NULL);
	entry = &shared->chains[PASSDB_KIND_PASS].entries[0];
	entry->driver->close(entry->shared);
	entry->driver = &fake;
	entry->shared = NULL;
	pthread_barrier_init(&barrier, NULL, THREADS);
}

static void thread_start(struct thread *thread, const uint8_t *data,
			 size_t size)
{
	thread->data = data;
	thread->size = size;
	thread->loop = loop_new();
	thread->passdb = passdb_new(thread->loop, NULL, shared);
	ASSERT(pthread_create(&thread->id, NULL, thread_main, thread) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct thread threads[THREADS] = { { .number = 0 } };
	unsigned i;

	if (size == 0 || size > MAX_SIZE)
		return 0;
	if (shared == NULL)
		setup();
	/* The first byte says whether answers are kept. */
	passdb_cache_free(&shared->cache);
	shared->cache = passdb_cache_new(65536, data[0] & 1 ? 60000 : 0,
					 data[0] & 2 ? 60000 : 0);
	for (i = 0; i < THREADS; i++) {
		threads[i].number = i;
		thread_start(&threads[i], data + 1, size - 1);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i].id, NULL);
		loop_free(&threads[i].loop);
	}
	for (i = 0; i < USERS; i++)
		ASSERT(atomic_load(&under_way[i]) == 0);
	return 0;
}
