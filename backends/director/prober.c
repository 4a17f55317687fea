#include "backends/director/prober.h"

#include <stdlib.h>
#include <string.h>

#include "backends/director/probe.h"
#include "lib/mem.h"
#include "lib/panic.h"

struct entry {
	struct director_prober *prober;
	char *name;
	struct remote_target target; /* host and TLS context are its own */
	struct director_health health;
	struct director_probe *probe; /* NULL: none under way */
	bool told_up; /* what the owner knows */
	bool kept;    /* by director_prober_set(), which is not over */
};

struct director_prober {
	struct loop *loop;
	char *hostname;
	uint64_t seed;
	const struct director_prober_events *events;
	void *arg;
	struct director_health_settings settings;
	char *user; /* the settings' */
	struct entry **list; /* sorted by name */
	unsigned count, probing;
	struct loop_timer timer; /* the next probe is due */
	struct loop_task tell, release;
};

uint64_t director_prober_now_ms(const struct director_prober *prober)
{
	return loop_now_us(prober->loop) / 1000;
}

/* --- probes --- */

static void prober_schedule(struct director_prober *prober);

static void entry_probed(void *arg, const char *error)
{
	struct entry *entry = arg;
	struct director_prober *prober = entry->prober;

	entry->probe = NULL;
	prober->probing--;
	if (director_health_probed(&entry->health, &prober->settings, error,
				   director_prober_now_ms(prober)))
		loop_defer(prober->loop, &prober->tell);
	prober_schedule(prober);
}

static void entry_probe(struct entry *entry)
{
	struct director_prober *prober = entry->prober;
	struct director_probe_params params = {
		.target = &entry->target,
		.level = (enum director_probe_level)prober->settings.probe,
		.hostname = prober->hostname,
		.user = prober->user,
		.timeout_ms = prober->settings.probe_timeout,
	};

	prober->probing++;
	entry->probe = director_probe_start(prober->loop, &params,
					    entry_probed, entry);
}

static void entry_cancel(struct entry *entry)
{
	if (entry->probe == NULL)
		return;
	director_probe_cancel(&entry->probe);
	entry->prober->probing--;
}

/* Whose probe is due first, of those that have none under way. */
static struct entry *prober_next(const struct director_prober *prober)
{
	struct entry *next = NULL;
	unsigned i;

	for (i = 0; i < prober->count; i++) {
		struct entry *entry = prober->list[i];

		if (entry->probe == NULL &&
		    (next == NULL || entry->health.next_probe_ms <
					     next->health.next_probe_ms))
			next = entry;
	}
	return next;
}

static bool prober_is_on(const struct director_prober *prober)
{
	return prober->settings.probe != DIRECTOR_PROBE_NO;
}

/* Starts what is due, and sets the timer for what will be. */
static void prober_start_due(struct loop_timer *timer)
{
	struct director_prober *prober =
		container_of(timer, struct director_prober, timer);
	uint64_t now = director_prober_now_ms(prober);
	struct entry *next;

	while (prober->probing < DIRECTOR_PROBER_AT_A_TIME &&
	       (next = prober_next(prober)) != NULL) {
		if (next->health.next_probe_ms > now) {
			loop_timer_set(&prober->timer,
				       next->health.next_probe_ms - now);
			return;
		}
		entry_probe(next);
	}
}

/* Once in a pass, whatever happened in it. */
static void prober_schedule(struct director_prober *prober)
{
	if (prober_is_on(prober))
		loop_timer_set(&prober->timer, 0);
	else
		loop_timer_clear(&prober->timer);
}

/* --- the owner --- */

static struct entry *prober_untold(const struct director_prober *prober)
{
	unsigned i;

	for (i = 0; i < prober->count; i++) {
		if (prober->list[i]->told_up != prober->list[i]->health.up)
			return prober->list[i];
	}
	return NULL;
}

/* Each call may change the list, or end the prober: then it is empty. */
static void prober_tell(struct loop_task *task)
{
	struct director_prober *prober =
		container_of(task, struct director_prober, tell);
	struct entry *entry;

	while ((entry = prober_untold(prober)) != NULL) {
		entry->told_up = entry->health.up;
		prober->events->changed(prober->arg, entry->name,
					&entry->health);
	}
}

struct director_prober *
director_prober_new(struct loop *loop, const char *hostname, uint64_t seed,
		    const struct director_prober_events *events, void *arg)
{
	struct director_prober *prober = mem_new(struct director_prober);

	prober->loop = loop;
	prober->hostname = mem_strdup(hostname);
	prober->seed = seed;
	prober->events = events;
	prober->arg = arg;
	prober->tell.fn = prober_tell;
	loop_timer_open(&prober->timer, loop, prober_start_due);
	return prober;
}

/* --- the list --- */

static void entry_set_target(struct entry *entry,
			     const struct remote_target *target)
{
	ASSERT(target->addr.len > 0);
	entry->target = *target;
	entry->target.host = mem_strdup(target->host);
	if (target->tls_context != NULL)
		entry->target.tls_context =
			tls_context_ref(target->tls_context);
}

static void entry_drop_target(struct entry *entry)
{
	mem_release((char *)entry->target.host);
	tls_context_unref(&entry->target.tls_context);
}

static struct entry *entry_new(struct director_prober *prober,
			       const struct director_prober_target *target)
{
	struct entry *entry = mem_new(struct entry);

	entry->prober = prober;
	entry->name = mem_strdup(target->name);
	entry_set_target(entry, &target->target);
	director_health_init(&entry->health, &prober->settings, prober->seed,
			     entry->name, director_prober_now_ms(prober));
	entry->told_up = true;
	return entry;
}

static void entry_free(struct entry *entry)
{
	entry_cancel(entry);
	entry_drop_target(entry);
	mem_free(&entry->name);
	mem_free(&entry);
}

static int by_name(const void *a, const void *b)
{
	const struct entry *const *first = a, *const *second = b;

	return strcmp((*first)->name, (*second)->name);
}

static int is_named(const void *name, const void *element)
{
	return strcmp(name, (*(const struct entry *const *)element)->name);
}

static struct entry *prober_find(const struct director_prober *prober,
				 const char *name)
{
	struct entry **place = NULL;

	if (prober->count > 0)
		place = bsearch(name, prober->list, prober->count,
				sizeof(*prober->list), is_named);
	return place != NULL ? *place : NULL;
}

static void entry_move(struct entry *entry, const struct remote_target *target)
{
	struct director_prober *prober = entry->prober;

	entry_cancel(entry);
	entry_drop_target(entry);
	entry_set_target(entry, target);
	director_health_hurry(&entry->health, &prober->settings,
			      director_prober_now_ms(prober));
}

/* The entry for a target, which is in the present list or a new one. */
static struct entry *prober_entry(struct director_prober *prober,
				  const struct director_prober_target *target)
{
	struct entry *entry = prober_find(prober, target->name);

	if (entry == NULL)
		return entry_new(prober, target);
	ASSERT(!entry->kept);
	entry->kept = true;
	if (!remote_target_equal(&entry->target, &target->target))
		entry_move(entry, &target->target);
	if (director_health_adapt(&entry->health, &prober->settings,
				  director_prober_now_ms(prober)))
		loop_defer(prober->loop, &prober->tell);
	return entry;
}

/* Puts list in the place of the old one, whose others go. */
static void prober_replace(struct director_prober *prober, struct entry **list,
			   unsigned count)
{
	unsigned i;

	for (i = 0; i < prober->count; i++) {
		if (!prober->list[i]->kept)
			entry_free(prober->list[i]);
	}
	mem_free(&prober->list);
	prober->list = list;
	prober->count = count;
	if (count > 0)
		qsort(list, count, sizeof(*list), by_name);
	for (i = 0; i < count; i++) {
		ASSERT(i == 0 || by_name(&list[i - 1], &list[i]) != 0);
		list[i]->kept = false;
	}
}

/* Probes under way are done by the old settings: only as long as the new ones
 * would have them done the same way. One that is ended is due at once. */
static void prober_set_settings(struct director_prober *prober,
				const struct director_health_settings *settings)
{
	const struct director_health_settings *old = &prober->settings;
	bool same = prober->user != NULL && old->probe == settings->probe &&
		    old->probe_timeout == settings->probe_timeout &&
		    strcmp(prober->user, settings->probe_user) == 0;
	unsigned i;

	prober->settings = *settings;
	if (!same) {
		for (i = 0; i < prober->count; i++)
			entry_cancel(prober->list[i]);
		mem_free(&prober->user);
		prober->user = mem_strdup(settings->probe_user);
	}
	prober->settings.probe_user = prober->user;
}

void director_prober_set(struct director_prober *prober,
			 const struct director_health_settings *settings,
			 const struct director_prober_target *targets,
			 unsigned count)
{
	struct entry **list = mem_alloc(count * sizeof(*list));
	unsigned i;

	prober_set_settings(prober, settings);
	for (i = 0; i < count; i++)
		list[i] = prober_entry(prober, &targets[i]);
	prober_replace(prober, list, count);
	prober_schedule(prober);
}

static void prober_release(struct loop_task *task)
{
	struct director_prober *prober =
		container_of(task, struct director_prober, release);

	mem_free(&prober->hostname);
	mem_free(&prober->user);
	mem_free(&prober);
}

void director_prober_free(struct director_prober **prober_p)
{
	struct director_prober *prober = *prober_p;

	*prober_p = NULL;
	if (prober == NULL)
		return;
	prober_replace(prober, NULL, 0);
	loop_timer_close(&prober->timer);
	loop_task_cancel(&prober->tell);
	prober->release.fn = prober_release;
	loop_defer(prober->loop, &prober->release);
}

/* --- one backend --- */

void director_prober_signal(struct director_prober *prober, const char *name,
			    enum director_signal signal, const char *text)
{
	struct entry *entry = prober_find(prober, name);
	uint64_t due;

	if (entry == NULL)
		return;
	due = entry->health.next_probe_ms;
	director_health_signal(&entry->health, &prober->settings, signal, text,
			       director_prober_now_ms(prober));
	if (entry->health.next_probe_ms != due)
		prober_schedule(prober);
}

void director_prober_restore_down(struct director_prober *prober,
				  const char *name, const char *why,
				  uint64_t ago_ms)
{
	struct entry *entry = prober_find(prober, name);
	uint64_t now = director_prober_now_ms(prober);

	if (entry == NULL)
		return;
	director_health_restore_down(&entry->health, &prober->settings,
				     now > ago_ms ? now - ago_ms : 0, why,
				     now);
	entry->told_up = entry->health.up;
	prober_schedule(prober);
}

const struct director_health *
director_prober_health(const struct director_prober *prober, const char *name)
{
	const struct entry *entry = prober_find(prober, name);

	return entry != NULL ? &entry->health : NULL;
}
