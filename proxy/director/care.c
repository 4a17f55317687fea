#include "proxy/director/care.h"

#include <string.h>
#include <time.h>

#include "lib/hash.h"
#include "lib/log/log.h"
#include "lib/mem.h"

#define LEARN_MS 1000

/* How a server was spoken to when last looked. */
struct learned {
	bool known;
	struct director_way way;
	uint64_t at_ms;
};

struct director_care {
	struct director_state *state;
	struct director_notes *notes;
	struct learned *learned; /* by ids */
	unsigned learned_count;
	struct loop_timer learn;
	const struct settings *all_settings; /* since director_care_set() */
	struct tls_set *tls;
	struct director_health_settings settings;
	struct director_prober *prober;
	struct loop_timer shares; /* when the next of them changes */
	bool panics;
	bool started;
	bool others_too; /* have a say: the state's health is not ours to set */
	void (*changed)(void *arg);
	bool (*doubts)(void *arg, uint32_t id); /* NULL: none */
	void *arg;
};

/* --- names --- */

/* As director_state_find() takes it. */
static const char *name_of(struct str *name,
			   const struct director_backend *backend)
{
	str_clear(name);
	str_printf(name, "%s@%s", backend->server.ip, backend->server.tag);
	return str_c(name);
}

static struct director_backend *backend_named(struct director_care *care,
					      const char *name)
{
	struct err err;

	return director_state_find(care->state, name, &err);
}

/* --- what probes say --- */

static void set_health(struct director_care *care,
		       struct director_backend *backend, bool sick,
		       const char *why)
{
	const struct director_server *server = &backend->server;

	if (sick)
		log_error(NULL, "director: %s is down: %s", server->ip, why);
	else
		log_info(NULL, "director: %s is up: %s", server->ip, why);
	director_state_set_health(care->state, backend, sick, why,
				  (uint64_t)time(NULL));
}

static void health_changed(void *arg, const char *name,
			   const struct director_health *health)
{
	struct director_care *care = arg;
	struct director_backend *backend = backend_named(care, name);

	if (backend == NULL)
		return;
	if (care->others_too)
		log_info(NULL, "director: this node finds %s %s: %s",
			 backend->server.ip, health->up ? "well" : "dead",
			 health->why);
	else
		set_health(care, backend, !health->up, health->why);
	care->changed(care->arg);
}

static void share_changes(struct loop_timer *timer)
{
	struct director_care *care =
		container_of(timer, struct director_care, shares);

	care->state->generation++;
	care->changed(care->arg);
}

static void learn(struct loop_timer *timer);

struct director_care *director_care_new(struct loop *loop, const char *hostname,
					struct director_state *state,
					struct director_notes *notes,
					bool others_too,
					void (*changed)(void *arg), void *arg)
{
	static const struct director_prober_events events = { health_changed };
	struct director_care *care = mem_new(struct director_care);

	care->state = state;
	care->notes = notes;
	care->others_too = others_too;
	care->changed = changed;
	care->arg = arg;
	care->prober = director_prober_new(loop, hostname, hash_seed(), &events,
					   care);
	loop_timer_open(&care->shares, loop, share_changes);
	loop_timer_open(&care->learn, loop, learn);
	return care;
}

void director_care_set_doubts(struct director_care *care,
			      bool (*doubts)(void *arg, uint32_t id))
{
	care->doubts = doubts;
}

void director_care_free(struct director_care **care_p)
{
	struct director_care *care = *care_p;

	if (care == NULL)
		return;
	loop_timer_close(&care->shares);
	loop_timer_close(&care->learn);
	director_prober_free(&care->prober);
	mem_free(&care->learned);
	mem_free(care_p);
}

/* --- whom to probe --- */

/* The configuration's word, and where it has none, what deliveries do. */
static struct director_way way_to(const struct director_care *care,
				  const struct director_server *server)
{
	struct director_way way = server->way;
	const struct learned *learned = &care->learned[server->id];

	if (!learned->known)
		return way;
	if (way.port == 0 && !way.has_protocol)
		way.port = learned->way.port;
	if (!way.has_protocol)
		way.protocol = learned->way.protocol;
	if (!way.has_tls) {
		way.tls = learned->way.tls;
		way.any_cert = learned->way.any_cert;
	}
	return way;
}

static bool can_be_probed(const struct director_care *care,
			  const struct director_backend *backend)
{
	const struct director_way *way = &backend->server.way;

	return director_backend_present(backend) &&
	       (way->port != 0 || way->has_protocol ||
		care->learned[backend->server.id].known);
}

static void set_target(const struct director_care *care,
		       struct remote_target *target,
		       const struct director_server *server)
{
	const struct director_way way = way_to(care, server);

	*target = (struct remote_target){
		.protocol = way.protocol,
		.host = server->name != NULL ? server->name : server->ip,
		.addr = server->addr,
		.port = way.port,
		.tls = way.tls,
		.any_cert = way.any_cert,
	};
	if (target->port == 0)
		target->port = way.protocol == REMOTE_SMTP ? 25 : 24;
	addr_set_port(&target->addr, target->port);
	tls_set_target(care->tls, &care->all_settings->lmtp, target);
}

/* Before the program started, or before a reload that made it known. */
static void restore(struct director_care *care,
		    const struct director_backend *backend, const char *name)
{
	uint64_t now_s = (uint64_t)time(NULL), at_s = backend->health.at_s;

	director_prober_restore_down(care->prober, name, backend->health.by,
				     now_s > at_s ? (now_s - at_s) * 1000 : 0);
}

static void set_list(struct director_care *care)
{
	struct arena *arena = arena_new(1024);
	struct director_state *state = care->state;
	struct director_prober_target *targets =
		arena_alloc(arena, state->count * sizeof(*targets));
	struct str name = STR_INIT;
	unsigned i, count = 0;

	for (i = 0; i < state->count; i++) {
		const struct director_backend *backend = &state->backends[i];

		if (!can_be_probed(care, backend))
			continue;
		targets[count].name = arena_strdup(arena,
						   name_of(&name, backend));
		set_target(care, &targets[count++].target, &backend->server);
	}
	director_prober_set(care->prober, &care->settings, targets, count);
	str_free(&name);
	arena_free(&arena);
}

/* Whom nobody probes could never come back. */
static void settle_health(struct director_care *care)
{
	struct str name = STR_INIT;
	unsigned i;

	for (i = 0; i < care->state->count; i++) {
		struct director_backend *backend = &care->state->backends[i];
		bool probed = can_be_probed(care, backend) &&
			      care->settings.probe != DIRECTOR_PROBE_NO;

		if (!backend->sick)
			continue;
		if (!probed)
			set_health(care, backend, false, "it is not probed");
		else if (!care->started)
			restore(care, backend, name_of(&name, backend));
	}
	str_free(&name);
}

/* --- how deliveries come to servers --- */

/* What has been learned already is probed once before it gives way, so that
 * deliveries that come in several ways do not keep probes from ending. */
static bool gives_way(const struct director_care *care,
		      const struct learned *learned, uint32_t id)
{
	const struct director_health *health = director_care_health(care, id);

	return !learned->known || health == NULL ||
	       health->last_probe_ms > learned->at_ms;
}

static bool same_way(const struct director_way *a, const struct director_way *b)
{
	return a->port == b->port && a->protocol == b->protocol &&
	       a->tls == b->tls && a->any_cert == b->any_cert;
}

static bool learn_way(struct director_care *care, uint32_t id)
{
	struct learned *learned = &care->learned[id];
	struct director_way way;

	if (!director_notes_way(care->notes, id, &way) ||
	    (learned->known && same_way(&learned->way, &way)) ||
	    !gives_way(care, learned, id))
		return false;
	*learned = (struct learned){
		true, way, director_prober_now_ms(care->prober),
	};
	return true;
}

/* Makes room for new ids; whether something is learned by it. */
static bool learn_all(struct director_care *care)
{
	unsigned i, count = care->state->count;
	bool any = false;

	if (count > care->learned_count) {
		care->learned = mem_realloc(care->learned,
					    count * sizeof(*care->learned));
		for (i = care->learned_count; i < count; i++)
			care->learned[i] = (struct learned){ .known = false };
		care->learned_count = count;
	}
	for (i = 0; i < count; i++)
		any |= learn_way(care, i);
	return any;
}

static void learn(struct loop_timer *timer)
{
	struct director_care *care =
		container_of(timer, struct director_care, learn);

	if (learn_all(care))
		set_list(care);
	loop_timer_set(timer, LEARN_MS);
}

void director_care_set(struct director_care *care,
		       const struct settings *settings, struct tls_set *tls)
{
	care->all_settings = settings;
	care->tls = tls;
	care->settings = settings->director_health;
	learn_all(care);
	set_list(care);
	if (!care->others_too)
		settle_health(care);
	care->started = true;
	if (care->settings.probe != DIRECTOR_PROBE_NO)
		loop_timer_set(&care->learn, LEARN_MS);
	else
		loop_timer_clear(&care->learn);
}

void director_care_rest(struct director_care *care)
{
	director_prober_set(care->prober, &care->settings, NULL, 0);
	loop_timer_clear(&care->learn);
	loop_timer_clear(&care->shares);
	care->started = false;
}

/* --- what follows --- */

static void judge_share(struct director_care *care,
			struct director_backend *backend, struct str *name,
			uint64_t *next_ms)
{
	uint64_t now_ms = director_prober_now_ms(care->prober), changes_ms;
	const struct director_health *health =
		director_prober_health(care->prober, name_of(name, backend));

	backend->share = 100;
	if (health == NULL || !health->up)
		return;
	backend->share = director_health_share(health, &care->settings, now_ms);
	changes_ms = director_health_share_changes(health, &care->settings,
						   now_ms);
	if (changes_ms != 0 && (*next_ms == 0 || changes_ms < *next_ms))
		*next_ms = changes_ms;
}

static bool is_wanted(const struct director_backend *backend, const char *tag)
{
	return director_backend_present(backend) &&
	       backend->admin == DIRECTOR_UP &&
	       strcmp(backend->server.tag, tag) == 0;
}

typedef bool bad_fn(const struct director_care *care,
		    const struct director_backend *backend);

/* Whether too many with that tag are down on health alone. */
static bool too_many(const struct director_care *care, const char *tag,
		     bad_fn *is_bad)
{
	unsigned i, count = 0, bad = 0;

	for (i = 0; i < care->state->count; i++) {
		const struct director_backend *backend =
			&care->state->backends[i];

		if (!is_wanted(backend, tag))
			continue;
		count++;
		bad += is_bad(care, backend);
	}
	return director_health_panic(&care->settings, count, bad);
}

static bool is_sick(const struct director_care *care,
		    const struct director_backend *backend)
{
	(void)care;
	return backend->sick;
}

/* As this process alone finds. */
static enum director_reach reach_of(const struct director_care *care,
				    uint32_t id)
{
	const struct director_health *health = director_care_health(care, id);

	if (health != NULL && !health->up)
		return DIRECTOR_CUT_OFF;
	return care->doubts != NULL && care->doubts(care->arg, id)
		       ? DIRECTOR_DOUBTED : DIRECTOR_REACHED;
}

static bool is_out_of_reach(const struct director_care *care,
			    const struct director_backend *backend)
{
	return reach_of(care, backend->server.id) != DIRECTOR_REACHED;
}

static void note_reach(struct director_care *care,
		       const struct director_backend *backend)
{
	bool counts = care->others_too && !backend->trusted &&
		      is_out_of_reach(care, backend) &&
		      !too_many(care, backend->server.tag, is_out_of_reach);

	director_notes_set_reach(care->notes, backend->server.id,
				 counts ? reach_of(care, backend->server.id)
					: DIRECTOR_REACHED);
}

static void say_panic(struct director_care *care, bool panics)
{
	if (panics && !care->panics)
		log_error(NULL, "director: more servers are down than "
			  "director_panic_threshold allows: all are used");
	else if (!panics && care->panics)
		log_info(NULL, "director: enough servers are up again");
	care->panics = panics;
}

void director_care_judge(struct director_care *care)
{
	uint64_t now_ms = director_prober_now_ms(care->prober), next_ms = 0;
	struct str name = STR_INIT;
	bool panics = false;
	unsigned i;

	for (i = 0; i < care->state->count; i++) {
		struct director_backend *backend = &care->state->backends[i];

		judge_share(care, backend, &name, &next_ms);
		backend->trusted = backend->sick &&
				   too_many(care, backend->server.tag, is_sick);
		panics |= backend->trusted;
		note_reach(care, backend);
	}
	say_panic(care, panics);
	loop_timer_clear(&care->shares);
	if (next_ms != 0)
		loop_timer_set(&care->shares,
			       next_ms > now_ms ? next_ms - now_ms : 0);
	str_free(&name);
}

void director_care_signal(struct director_care *care, uint32_t id,
			  enum director_signal signal, const char *text)
{
	struct str name = STR_INIT;

	if (id < care->state->count)
		director_prober_signal(care->prober,
				       name_of(&name,
					       &care->state->backends[id]),
				       signal, text);
	str_free(&name);
}

const struct director_health *
director_care_health(const struct director_care *care, uint32_t id)
{
	struct str name = STR_INIT;
	const struct director_health *health = director_prober_health(
		care->prober, name_of(&name, &care->state->backends[id]));

	str_free(&name);
	return health;
}
