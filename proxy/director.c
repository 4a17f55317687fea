#include "proxy/director.h"

#include <string.h>

#include "backends/director/hash.h"
#include "backends/director/map.h"
#include "lib/hosts.h"
#include "passdb/var.h"

#define NO_MD5 "this system's crypto policy refuses MD5"

struct director {
	const struct director_settings *settings;
	struct director_servers servers;
	struct director_map *map;
};

/* Names only from the hosts file: the supervisor, which reads the settings
 * first, does not speak with the network. */
static unsigned hosts_file(const char *name, struct addr *addrs, unsigned max)
{
	return hosts_addresses(HOSTS_FILE, name, addrs, max);
}

struct director *director_new(struct arena *arena,
			      const struct director_settings *settings,
			      struct err *err)
{
	struct director *director = arena_new_struct(arena, struct director);

	director->settings = settings;
	if (director_servers_parse(arena, settings->mail_servers, hosts_file,
				   &director->servers, err) < 0)
		return NULL;
	director->map = director_map_new(arena, &director->servers,
					 (enum director_method)settings->hash);
	if (director->map == NULL) {
		err_put(err, NO_MD5);
		return NULL;
	}
	return director;
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
	if (var_expand(&text, director->settings->username_hash, &parts.source,
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
			       "server without a tag whose weight is not 0");
	return err_set(err, "director_tag=%s: director_mail_servers has no "
		       "server with this tag whose weight is not 0", tag);
}

int director_choose(const struct director *director, struct arena *arena,
		    const char *user, const char *tag,
		    struct director_choice *choice_r, struct err *err)
{
	const char *text = hashed_text(director, arena, user, err);

	if (text == NULL)
		return -1;
	*choice_r = (struct director_choice){
		.method = director->settings->hash == DIRECTOR_MD5_RING
				  ? "md5-ring" : "rendezvous",
		.text = text,
		.tag = tag,
	};
	if (director_hash(text, &choice_r->hash) < 0)
		return err_set(err, NO_MD5);
	choice_r->server = director_map_find(director->map, tag,
					     choice_r->hash);
	return choice_r->server != NULL ? 0 : no_server(tag, err);
}
