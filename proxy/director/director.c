#include "proxy/director/director.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backends/director/hash.h"
#include "backends/director/map.h"
#include "lib/hash.h"
#include "lib/hosts.h"
#include "lib/panic.h"
#include "passdb/var/var.h"

#define NO_MD5 "this system's crypto policy refuses MD5"

/* What is known of a server, by its id. */
struct standing {
	const struct director_server *server;
	enum director_hold hold;
	uint64_t flushed_us;
	bool open; /* users may be sent there */
};

struct moved_user {
	uint64_t key;
	uint32_t server;
};

struct director {
	atomic_uint refs;
	struct arena *arena; /* its own; NULL: it lives in its settings' */
	const char *username_hash;
	enum director_method method;
	struct director_servers servers; /* those with users of their own */
	struct director_map *map;
	struct standing *standings;
	unsigned standing_count;
	struct moved_user *moved; /* sorted */
	unsigned moved_count;
	uint64_t generation;
	bool in_cluster;
	struct director *before; /* NULL: nobody is where it sent him */
	const char *unknown;	 /* why no server is known; NULL: they are */
};

/* Names only from the hosts file: the supervisor, which reads the settings
 * first, does not speak with the network. */
static unsigned hosts_file(const char *name, struct addr *addrs, unsigned max)
{
	return hosts_addresses(HOSTS_FILE, name, addrs, max);
}

static void use_settings(struct director *director, struct arena *arena,
			 const struct director_settings *settings)
{
	director->username_hash = arena_strdup(arena, settings->username_hash);
	director->method = (enum director_method)settings->hash;
}

static int make_map(struct director *director, struct arena *arena,
		    const struct director *last, struct err *err)
{
	director->map = director_map_new(arena, &director->servers,
					 director->method,
					 last != NULL ? last->map : NULL);
	return director->map != NULL ? 0 : err_set(err, NO_MD5);
}

static struct director_way
way_of(const struct director_backend_settings *settings)
{
	struct director_way way = {
		.port = (uint16_t)settings->port,
		.has_protocol = settings->protocol != DIRECTOR_ANY_PROTOCOL,
		.protocol = settings->protocol == DIRECTOR_SMTP ? REMOTE_SMTP
								: REMOTE_LMTP,
		.has_tls = settings->ssl != DIRECTOR_ANY_TLS ||
			   settings->starttls != DIRECTOR_ANY_TLS,
		.any_cert = settings->ssl == DIRECTOR_TLS_ANY_CERT ||
			    settings->starttls == DIRECTOR_TLS_ANY_CERT,
	};

	if (settings->starttls >= DIRECTOR_TLS)
		way.tls = REMOTE_TLS_STARTTLS;
	else if (settings->ssl >= DIRECTOR_TLS)
		way.tls = REMOTE_TLS_IMMEDIATE;
	return way;
}

static const struct director_group *
make_groups(struct arena *arena, const struct director_settings *settings)
{
	struct director_group *groups = arena_alloc(
		arena, (settings->backend_count + 1) * sizeof(*groups));
	unsigned i;

	groups[0] = (struct director_group){
		.text = settings->mail_servers,
		.weight = DIRECTOR_WEIGHT,
		.tag = "",
	};
	for (i = 0; i < settings->backend_count; i++) {
		const struct director_backend_settings *backend =
			&settings->backends[i];

		groups[i + 1] = (struct director_group){
			.text = backend->servers,
			.weight = backend->weight,
			.tag = backend->tag,
			.way = way_of(backend),
		};
	}
	return groups;
}

struct director *
director_new(struct arena *arena, const struct director_settings *settings,
	     const struct director_backend_settings **bad_r, struct err *err)
{
	struct director *director = arena_new_struct(arena, struct director);
	unsigned bad = 0;

	use_settings(director, arena, settings);
	if (director_servers_read(arena, make_groups(arena, settings),
				  settings->backend_count + 1, hosts_file,
				  &director->servers, &bad, err) == 0 &&
	    make_map(director, arena, NULL, err) == 0)
		return director;
	*bad_r = bad > 0 ? &settings->backends[bad - 1] : NULL;
	return NULL;
}

const struct director_servers *
director_configured(const struct director *director)
{
	return &director->servers;
}

/* --- views --- */

static bool is_lost(const struct director_backend *backend)
{
	return backend->sick && !backend->trusted;
}

/* Of one that comes back a part; of none that has any, nothing. */
static unsigned weight_of(const struct director_backend *backend)
{
	unsigned weight = director_backend_weight(backend);

	return (weight * backend->share + 99) / 100;
}

static enum director_hold hold_of(const struct director_backend *backend)
{
	if (is_lost(backend))
		return DIRECTOR_LOST;
	return backend->admin == DIRECTOR_DOWN ||
			       !director_backend_present(backend)
		       ? DIRECTOR_LETS_GO : DIRECTOR_KEEPS;
}

static struct director_server *copy_server(struct arena *arena,
					   const struct director_backend *from)
{
	struct director_server *server =
		arena_new_struct(arena, struct director_server);

	*server = from->server;
	server->ip = arena_strdup(arena, from->server.ip);
	server->tag = arena_strdup(arena, from->server.tag);
	if (server->name != NULL)
		server->name = arena_strdup(arena, from->server.name);
	server->weight = weight_of(from);
	return server;
}

static void copy_backend(struct director *director,
			 const struct director_backend *backend)
{
	struct standing *standing =
		&director->standings[backend->server.id];

	standing->hold = hold_of(backend);
	standing->flushed_us = backend->flushed_us;
	standing->server = copy_server(director->arena, backend);
	standing->open = director_backend_present(backend) &&
			 backend->admin != DIRECTOR_DOWN &&
			 !is_lost(backend);
}

static int server_order(const void *a_p, const void *b_p)
{
	return director_server_order(a_p, b_p);
}

/* The hash's choice is among servers in the order of their addresses. */
static void list_servers(struct director *director,
			 const struct director_state *state)
{
	struct director_server *list = arena_alloc(
		director->arena, state->count * sizeof(*list));
	unsigned i, count = 0;

	for (i = 0; i < state->count; i++) {
		const struct standing *standing = &director->standings[i];

		if (standing->open && state->backends[i].admin == DIRECTOR_UP)
			list[count++] = *standing->server;
	}
	qsort(list, count, sizeof(*list), server_order);
	director->servers = (struct director_servers){ list, count };
}

static int moved_order(const void *a_p, const void *b_p)
{
	const struct moved_user *a = a_p, *b = b_p;

	return a->key < b->key ? -1 : a->key > b->key;
}

static void copy_moved(struct director *director,
		       const struct director_pins *pins)
{
	unsigned i;

	director->moved_count = pins->count;
	director->moved = arena_alloc(director->arena,
				      pins->count * sizeof(*director->moved));
	for (i = 0; i < pins->count; i++)
		director->moved[i] = (struct moved_user){
			pins->list[i]->key, pins->list[i]->server,
		};
}

static struct director *view_new(const struct director_settings *settings)
{
	struct arena *arena = arena_new(4096);
	struct director *director = arena_new_struct(arena, struct director);

	director->arena = arena;
	atomic_init(&director->refs, 1);
	use_settings(director, arena, settings);
	return director;
}

struct director *director_view(const struct director_settings *settings,
			       const struct director_state *state,
			       const struct director *last, struct err *err)
{
	struct director *director = view_new(settings);
	struct arena *arena = director->arena;
	unsigned i;

	director->generation = state->generation;
	director->standing_count = state->count;
	director->standings = arena_alloc(arena, state->count *
						 sizeof(struct standing));
	for (i = 0; i < state->count; i++)
		copy_backend(director, &state->backends[i]);
	list_servers(director, state);
	copy_moved(director, &state->pins);
	if (make_map(director, arena, last, err) < 0)
		director_unref(&director);
	return director;
}

struct director *
director_cluster_view(const struct director_settings *settings,
		      const struct director_state *state, uint64_t generation,
		      struct director *before, const struct director *last,
		      struct err *err)
{
	struct director *director = director_view(settings, state, last, err);

	if (director == NULL)
		return NULL;
	director->in_cluster = true;
	director->generation = generation;
	director->before = before != NULL ? director_ref(before) : NULL;
	return director;
}

struct director *director_unknown_view(const struct director_settings *settings,
				       const char *why)
{
	struct director *director = view_new(settings);

	director->unknown = arena_strdup(director->arena, why);
	return director;
}

struct director *director_ref(struct director *director)
{
	atomic_fetch_add(&director->refs, 1);
	return director;
}

void director_unref(struct director **director_p)
{
	struct director *director = *director_p;
	struct arena *arena;

	*director_p = NULL;
	if (director == NULL || atomic_fetch_sub(&director->refs, 1) > 1)
		return;
	director_unref(&director->before);
	arena = director->arena;
	arena_free(&arena);
}

const struct director_server *director_server(const struct director *director,
					      uint32_t id)
{
	ASSERT(id < director->standing_count);
	return director->standings[id].server;
}

unsigned director_server_count(const struct director *director)
{
	return director->standing_count;
}

uint64_t director_generation(const struct director *director)
{
	return director->generation;
}

/* --- what is hashed --- */

struct user_parts {
	struct var_entry table[4];
	struct var_source source;
};

static void user_parts_init(struct user_parts *parts, struct arena *arena,
			    const char *user)
{
	const char *at = strchrnul(user, '@');
	const struct var_entry table[4] = {
		{ 'u', "user", user, 0 },
		{ 'n', "username",
		  arena_strndup(arena, user, (size_t)(at - user)), 0 },
		{ 'd', "domain", *at == '@' ? at + 1 : "", 0 },
	};

	memcpy(parts->table, table, sizeof(table));
	parts->source = (struct var_source){ .table = parts->table };
}

int director_check_format(const char *format, struct err *err)
{
	struct arena *arena = arena_new(64);
	struct user_parts parts;
	int ret;

	user_parts_init(&parts, arena, "");
	ret = var_check(format, &parts.source, err);
	arena_free(&arena);
	return ret;
}

static const char *hashed_text(const struct director *director,
			       struct arena *arena, const char *user,
			       struct err *err)
{
	struct user_parts parts;
	struct str text = STR_INIT;
	const char *copy = NULL;

	user_parts_init(&parts, arena, user);
	if (var_expand(&text, director->username_hash, &parts.source,
		       err) == 0)
		copy = arena_strdup(arena, str_c(&text));
	str_free(&text);
	return copy;
}

/* --- who it is --- */

static int no_server(const char *tag, struct err *err)
{
	if (*tag == '\0')
		return err_set(err, "no host, and director_mail_servers has no "
			       "server without a tag that is up and whose "
			       "weight is not 0");
	return err_set(err, "director_tag=%s: director_mail_servers has no "
		       "server with this tag that is up and whose weight is "
		       "not 0", tag);
}

static const struct standing *standing_of(const struct director *director,
					  uint32_t id)
{
	return id < director->standing_count ? &director->standings[id] : NULL;
}

/* Where an administrator moved the user; NULL: he did not, or users cannot be
 * sent there. */
static const struct director_server *
moved_to(const struct director *director, uint64_t key)
{
	const struct moved_user wanted = { .key = key };
	const struct moved_user *moved = NULL;
	const struct standing *standing;

	if (director->moved_count > 0)
		moved = bsearch(&wanted, director->moved,
				director->moved_count, sizeof(wanted),
				moved_order);
	if (moved == NULL)
		return NULL;
	standing = standing_of(director, moved->server);
	return standing->open ? standing->server : NULL;
}

/* Users with the same hash are apart when they have different tags. */
static uint64_t user_key(uint64_t hash, const char *tag)
{
	return *tag == '\0' ? hash : hash_bytes(hash, tag, strlen(tag));
}

static const char *method_name(enum director_method method)
{
	return method == DIRECTOR_MD5_RING ? "md5-ring" : "rendezvous";
}

const char *director_method_name(const struct director_settings *settings)
{
	return method_name((enum director_method)settings->hash);
}

int director_choose(const struct director *director, struct arena *arena,
		    const char *user, const char *tag,
		    struct director_choice *choice_r, struct err *err)
{
	const char *text = hashed_text(director, arena, user, err);

	if (text == NULL)
		return -1;
	if (director->unknown != NULL)
		return err_set(err, "%s", director->unknown);
	*choice_r = (struct director_choice){
		.method = method_name(director->method),
		.text = text,
		.tag = tag,
	};
	if (director_hash(text, &choice_r->hash) < 0)
		return err_set(err, NO_MD5);
	choice_r->key = user_key(choice_r->hash, tag);
	choice_r->server = moved_to(director, choice_r->key);
	choice_r->moved = choice_r->server != NULL;
	if (!choice_r->moved)
		choice_r->server = director_hashed(director, tag,
						   choice_r->hash);
	return choice_r->server != NULL ? 0 : no_server(tag, err);
}

/* As director_choose(), for whom was chosen for before. */
static const struct director_server *
chosen(const struct director *director, const char *tag, uint64_t hash,
       uint64_t key)
{
	const struct director_server *server = moved_to(director, key);

	return server != NULL ? server : director_hashed(director, tag, hash);
}

const struct director_server *director_hashed(const struct director *director,
					      const char *tag, uint64_t hash)
{
	return director->unknown == NULL
		       ? director_map_find(director->map, tag, hash) : NULL;
}

void director_stay(const struct director *director, uint32_t id,
		   struct director_choice *choice)
{
	const struct standing *standing = standing_of(director, id);

	ASSERT(standing != NULL);
	choice->server = standing->server;
	choice->moved = false;
	choice->stays = true;
}

/* --- who stays --- */

/* In a cluster nobody may stay: the other nodes would not know. */
static enum director_hold hold_by_id(const void *arg, uint32_t id)
{
	const struct director *director = arg;
	const struct standing *standing = standing_of(director, id);

	if (standing == NULL)
		return DIRECTOR_UNKNOWN;
	return director->in_cluster && standing->hold == DIRECTOR_KEEPS
		       ? DIRECTOR_LETS_GO : standing->hold;
}

bool director_keeps(const struct director *director, uint32_t id)
{
	return hold_by_id(director, id) == DIRECTOR_KEEPS;
}

static uint64_t flushed_by_id(const void *arg, uint32_t id)
{
	const struct standing *standing = standing_of(arg, id);

	return standing != NULL ? standing->flushed_us : 0;
}

/* Ids are others in other processes. */
static uint64_t number_by_id(const void *arg, uint32_t id)
{
	const struct director_server *server =
		standing_of(arg, id)->server;

	return hash_bytes(hash_bytes(0, server->ip, strlen(server->ip)),
			  server->tag, strlen(server->tag));
}

static uint32_t id_by_number(const void *arg, uint64_t number)
{
	const struct director *director = arg;
	uint32_t id;

	for (id = 0; id < director->standing_count; id++) {
		if (number_by_id(director, id) == number)
			return id;
	}
	return DIRECTOR_NO_SERVER;
}

struct director_rules director_rules(const struct director *director)
{
	return (struct director_rules){
		.hold = hold_by_id,
		.flushed_us = flushed_by_id,
		.arg = director,
		.generation = director->generation,
		.number = number_by_id,
		.find = id_by_number,
	};
}

bool director_is_elsewhere(const void *arg, uint64_t key, uint64_t hash,
			   const char *tag, uint32_t server)
{
	const struct director *director = arg;
	const struct director_server *should =
		chosen(director, tag, hash, key);

	return (should == NULL || should->id != server) &&
	       hold_by_id(director, server) != DIRECTOR_LOST;
}

const struct director_server *
director_bars(const struct director *director,
	      const struct director_choice *choice)
{
	const struct director_server *was;

	if (director->before == NULL)
		return NULL;
	was = chosen(director->before, choice->tag, choice->hash, choice->key);
	if (was == NULL || was->id == choice->server->id ||
	    hold_by_id(director, was->id) == DIRECTOR_LOST)
		return NULL;
	return was;
}
