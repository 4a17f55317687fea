/* driver = ldap  args = /path/dovecot-ldap.conf.ext, of passdbs and userdbs */
#include <string.h>

#include "lib/arena.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "passdb/driver.h"
#include "passdb/ldap/attrs.h"
#include "passdb/ldap/conn.h"
#include "passdb/ldap/escape.h"
#include "passdb/ldap/pool.h"
#include "passdb/ldap/server.h"
#include "passdb/ldap/settings.h"
#include "passdb/observer.h"
#include "passdb/shared.h"

/* Where the CAs are when no setting says it. */
#define SYSTEM_CAS "/etc/ssl/certs"

/* What the workers share. */
struct ldap_passdb {
	struct arena *arena;
	struct ldap_settings settings;
	struct ldap_servers servers;
	/* pass_filter and pass_attrs or, of a userdb, user_filter ... */
	const char *filter_name, *filter;
	const char *attrs_name, *attrs_text;
	struct ldap_attrs attrs;
	struct tls_context *tls; /* NULL: no server has it */
	unsigned timeout_ms;	 /* of a lookup */
	bool attrs_vary; /* fields depend on variables of the lookup, too */
	bool cacheable;	 /* it can be said on which */
};

/* One worker's. */
struct ldap_port {
	struct ldap_passdb *db;
	struct ldap_pool *pool;
};

struct ldap_lookup {
	struct passdb_request *request;
	struct ldap_port *port;
	struct ldap_search search;
	struct ldap_found found;
	unsigned step; /* which of attrs->entries is searched for */
};

/* --- opening --- */

/* What open() works with. */
struct opener {
	struct ldap_passdb *db;
	const struct passdb_open *open;
	unsigned before; /* errors that others made */
};

static bool is_broken(const struct opener *opener)
{
	return opener->open->errors->errors > opener->before;
}

static void report(struct opener *opener, const char *name,
		   const struct err *why)
{
	const struct ldap_settings *settings = &opener->db->settings;

	conf_error(opener->open->errors, settings->file,
		   ldap_settings_line(settings, name), "%s: %s", name,
		   why->text);
}

/* The setting that names the servers. */
static const char *servers_name(const struct opener *opener)
{
	return opener->db->settings.uris[0] != '\0' ? "uris" : "hosts";
}

static void open_servers(struct opener *opener)
{
	struct ldap_passdb *db = opener->db;
	const struct ldap_settings *settings = &db->settings;
	struct err why;
	int ret = settings->uris[0] != '\0' ?
		  ldap_servers_parse_uris(&db->servers, db->arena,
					  settings->uris, &why) :
		  ldap_servers_parse_hosts(&db->servers, db->arena,
					   settings->hosts, &why);

	if (ret < 0)
		report(opener, servers_name(opener), &why);
}

/* A file's text: read by who may, which is not the worker. */
static const char *open_file(struct opener *opener, const char *name,
			     const char *path)
{
	const char *text;
	struct err why;

	if (path[0] == '\0')
		return "";
	text = conf_tree_file(opener->open->settings->tree, path, &why);
	if (text == NULL)
		report(opener, name, &why);
	return text != NULL ? text : "";
}

static bool has_tls(const struct ldap_passdb *db)
{
	bool tls = db->settings.tls;
	unsigned i;

	for (i = 0; i < db->servers.count; i++)
		tls |= db->servers.list[i].tls;
	return tls;
}

/* The setting that an error of TLS is about. */
static const char *tls_culprit(const char *error)
{
	static const char *const names[][2] = {
		{ "ssl_cipher_list", "tls_cipher_suite" },
		{ "ssl_client_ca_file", "tls_ca_cert_file" },
		{ "ssl_client_ca_dir", "tls_ca_cert_dir" },
		{ "ssl_client_key", "tls_key_file" },
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strncmp(error, names[i][0], strlen(names[i][0])) == 0)
			return names[i][1];
	}
	return "tls_cert_file";
}

static void make_tls_context(struct opener *opener)
{
	const struct ldap_settings *settings = &opener->db->settings;
	struct tls_settings tls;
	struct arena *arena = opener->db->arena;
	struct err why;

	conf_defaults(&tls_settings_table, arena, &tls);
	tls.ssl_client_ca_file = settings->tls_ca_cert_file;
	tls.ssl_client_ca_dir = settings->tls_ca_cert_dir;
	if (tls.ssl_client_ca_file[0] == '\0' &&
	    tls.ssl_client_ca_dir[0] == '\0')
		tls.ssl_client_ca_dir = SYSTEM_CAS;
	if (settings->tls_cipher_suite[0] != '\0')
		tls.ssl_cipher_list = settings->tls_cipher_suite;
	tls.ssl_client_cert = open_file(opener, "tls_cert_file",
					settings->tls_cert_file);
	tls.ssl_client_key = open_file(opener, "tls_key_file",
				       settings->tls_key_file);
	if (is_broken(opener))
		return;
	opener->db->tls = tls_context_client(&tls, &why);
	if (opener->db->tls == NULL)
		report(opener, tls_culprit(why.text), &why);
}

static void check_server_tls(struct opener *opener,
			     const struct ldap_server *server)
{
	const struct ldap_settings *settings = &opener->db->settings;
	struct tls_peer *peer;
	struct err why;

	if (settings->tls && (server->tls || server->host == NULL)) {
		err_put(&why, "StartTLS is for ldap:// servers only, not for "
			"%s", server->text);
		report(opener, "tls", &why);
		return;
	}
	if (opener->db->tls == NULL || (!server->tls && !settings->tls))
		return;
	peer = ldap_server_peer(server, settings, opener->db->tls, &why);
	if (peer == NULL)
		report(opener, servers_name(opener), &why);
	tls_peer_unref(&peer);
}

static void open_tls(struct opener *opener)
{
	unsigned i;

	if (has_tls(opener->db))
		make_tls_context(opener);
	for (i = 0; i < opener->db->servers.count; i++)
		check_server_tls(opener, &opener->db->servers.list[i]);
}

static void choose_texts(struct ldap_passdb *db, enum passdb_kind kind)
{
	const struct ldap_settings *settings = &db->settings;
	bool user = kind == PASSDB_KIND_USER;

	db->filter_name = user ? "user_filter" : "pass_filter";
	db->filter = user ? settings->user_filter : settings->pass_filter;
	db->attrs_name = user ? "user_attrs" : "pass_attrs";
	db->attrs_text = user ? settings->user_attrs : settings->pass_attrs;
}

/* With variables empty, which is as good as any value: escaped, none can change
 * how the text reads. In the worker process this is also the first that libldap
 * hears of, when it loads SASL's plugins: not on a thread with sessions. */
static void check_texts(struct opener *opener)
{
	struct ldap_passdb *db = opener->db;
	const struct ldap_settings *settings = &db->settings;
	struct str text = STR_INIT;
	struct err why;

	if (var_sample(&text, settings->base, opener->open->vars, &why) < 0 ||
	    (!var_used(settings->base) &&
	     ldap_conn_check_dn(str_c(&text), &why) < 0))
		report(opener, "base", &why);
	str_clear(&text);
	if (var_sample(&text, db->filter, opener->open->vars, &why) < 0 ||
	    ldap_conn_check_filter(str_c(&text), &why) < 0)
		report(opener, db->filter_name, &why);
	str_free(&text);
	if (ldap_attrs_parse(&db->attrs, db->arena, db->attrs_text,
			     opener->open->vars, &why) < 0)
		report(opener, db->attrs_name, &why);
}

static void ldap_close(void *shared)
{
	struct ldap_passdb *db = shared;

	tls_context_unref(&db->tls);
	arena_wipe(&db->arena);
	mem_release(db);
}

/* Warnings are for a check only: else each process would repeat them. */
static int read_settings(struct opener *opener, const char *path,
			 const char *text)
{
	struct conf_errors *errors = opener->open->errors;
	struct conf_errors own = { .text = STR_INIT };
	int ret;

	if (opener->open->control == NULL)
		return ldap_settings_read(&opener->db->settings,
					  opener->db->arena, path, text,
					  errors);
	ret = ldap_settings_read(&opener->db->settings, opener->db->arena,
				 path, text, &own);
	if (ret < 0) {
		str_append(&errors->text, str_c(&own.text), own.text.len);
		errors->errors += own.errors;
	}
	conf_errors_free(&own);
	return ret;
}

/* Whether the fields come from entries alone, and from no variable of a
 * lookup. */
static bool only_ldap_variables(const char *attrs)
{
	const char *at = attrs;

	while ((at = strchr(at, '%')) != NULL) {
		at++;
		if (*at != '$' && *at != '%' && strncmp(at, "{ldap", 5) != 0)
			return false;
		at += *at == '%';
	}
	return true;
}

static void *ldap_open(const struct passdb_open *open, struct err *err)
{
	const char *path = open->block->args, *text;
	struct ldap_passdb *db;
	struct opener opener;

	if (path[0] != '/') {
		err_put(err, "args: not the absolute path of a file");
		return NULL;
	}
	text = conf_tree_file(open->settings->tree, path, err);
	if (text == NULL)
		return NULL;
	db = mem_new(struct ldap_passdb);
	db->arena = arena_new(4096);
	db->timeout_ms = open->settings->lookup_timeout_ms;
	opener = (struct opener){ db, open, open->errors->errors };
	if (read_settings(&opener, path, text) == 0) {
		choose_texts(db, open->kind);
		open_servers(&opener);
		open_tls(&opener);
		check_texts(&opener);
	}
	if (is_broken(&opener)) {
		ldap_close(db);
		return NULL;
	}
	db->attrs_vary = !only_ldap_variables(db->attrs_text);
	db->cacheable = !db->attrs_vary ||
			strstr(db->attrs_text, "{if;") == NULL;
	return db;
}

static void *ldap_loop_open(const struct passdb_env *env, void *shared)
{
	struct ldap_port *port = mem_new(struct ldap_port);
	struct ldap_passdb *db = shared;
	const struct ldap_pool_params params = {
		.settings = &db->settings,
		.servers = &db->servers,
		.tls = db->tls,
		/* So that there is time for another server. */
		.silence_ms = db->timeout_ms / 2 + 1,
		.patience_ms = db->timeout_ms,
	};

	port->db = db;
	port->pool = ldap_pool_new(env, &params);
	return port;
}

static void ldap_loop_close(void *own)
{
	struct ldap_port *port = own;

	ldap_pool_free(&port->pool);
	mem_release(port);
}

static unsigned ldap_waiting(void *own)
{
	const struct ldap_port *port = own;

	return ldap_pool_waiting(port->pool);
}

/* --- looking a user up --- */

static enum passdb_answer lookup_fail(struct ldap_lookup *lookup,
				      const char *what, const char *why)
{
	const struct ldap_search_params *params = &lookup->search.params;

	passdb_request_error(lookup->request, "%s (base %s, filter %s): %s",
			     what, params->base, params->filter, why);
	return PASSDB_ANSWER_FAIL;
}

static unsigned count_rdns(const char *dn)
{
	unsigned count = *dn != '\0';

	for (; *dn != '\0'; dn++) {
		if (*dn == '\\' && dn[1] != '\0')
			dn++;
		else if (*dn == ',')
			count++;
	}
	return count;
}

/* Whether a base that is not there means that the user is not there: it is so
 * when only parts with variables are missing of it. */
static bool lacks_only_variables(const struct ldap_lookup *lookup)
{
	const char *base = lookup->port->db->settings.base;
	const char *last = strrchr(base, '%');
	const char *fixed = last != NULL ? strchr(last, ',') : NULL;

	return lookup->step == 0 && fixed != NULL &&
	       strchr(fixed, '}') == NULL &&
	       count_rdns(lookup->search.matched) >= count_rdns(fixed + 1);
}

static void observe_search(const struct ldap_lookup *lookup)
{
	static const char *const scopes[] = {
		[LDAP_BASE] = "base",
		[LDAP_ONELEVEL] = "onelevel",
		[LDAP_SUBTREE] = "subtree",
	};
	const struct passdb_request *request = lookup->request;
	const struct ldap_search_params *params = &lookup->search.params;

	passdb_observe(request, PASSDB_EVENT_ASKED, "base", params->base);
	passdb_observe(request, PASSDB_EVENT_ASKED, "filter", params->filter);
	passdb_observe(request, PASSDB_EVENT_ASKED, "scope",
		       scopes[params->scope]);
	passdb_observe_words(request, "attributes", params->attributes);
}

static void lookup_search(struct ldap_lookup *lookup)
{
	const struct ldap_attrs *attrs = &lookup->port->db->attrs;
	struct ldap_search *search = &lookup->search;

	search->params.attributes = attrs->entries[lookup->step].wanted;
	observe_search(lookup);
	search->count = 0;
	search->server = NULL;
	ldap_pool_search(lookup->port->pool, search);
}

/* Goes on to the next entry that is pointed to. False: there is none. */
static bool lookup_pointer(struct ldap_lookup *lookup)
{
	const struct ldap_attrs *attrs = &lookup->port->db->attrs;
	const char *const *dn;

	while (++lookup->step < attrs->entry_count) {
		const char *name = attrs->entries[lookup->step].attribute;

		dn = ldap_found_values(&lookup->found, name, strlen(name));
		if (dn == NULL)
			continue;
		lookup->search.params.base = dn[0];
		lookup->search.params.filter = "(objectClass=*)";
		lookup->search.params.scope = LDAP_BASE;
		lookup_search(lookup);
		return true;
	}
	return false;
}

static enum passdb_answer lookup_found(struct ldap_lookup *lookup)
{
	const struct ldap_entry *entry = lookup->search.entries[0];
	struct err err;

	if (entry->problem != NULL) {
		passdb_request_error(lookup->request, "entry %s: %s",
				     entry->dn, entry->problem);
		return PASSDB_ANSWER_FAIL;
	}
	passdb_observe(lookup->request, PASSDB_EVENT_SOURCE, NULL, entry->dn);
	lookup->found.entries[lookup->step] = entry;
	if (lookup_pointer(lookup))
		return PASSDB_ANSWER_WAIT;
	if (ldap_attrs_put(&lookup->port->db->attrs, &lookup->found,
			   lookup->request, &err) == 0)
		return PASSDB_ANSWER_FOUND;
	passdb_request_error(lookup->request, "entry %s: %s: %s",
			     lookup->found.entries[0]->dn,
			     lookup->port->db->attrs_name, err.text);
	return PASSDB_ANSWER_FAIL;
}

static enum passdb_answer lookup_ambiguous(struct ldap_lookup *lookup)
{
	const struct ldap_search *search = &lookup->search;
	struct str dns = STR_INIT;

	str_printf(&dns, "more than one entry: %s", search->entries[0]->dn);
	if (search->count > 1)
		str_printf(&dns, ", %s", search->entries[1]->dn);
	lookup_fail(lookup, "search", str_c(&dns));
	str_free(&dns);
	return PASSDB_ANSWER_FAIL;
}

static enum passdb_answer lookup_judge(struct ldap_lookup *lookup)
{
	const struct ldap_search *search = &lookup->search;
	bool more = search->verdict == LDAP_VERDICT_SIZE_LIMIT;

	if (search->verdict == LDAP_VERDICT_NO_OBJECT &&
	    lacks_only_variables(lookup))
		return PASSDB_ANSWER_NOT_FOUND;
	if (search->count > 1 || (more && search->count > 0))
		return lookup_ambiguous(lookup);
	if (search->verdict != LDAP_VERDICT_OK)
		return lookup_fail(lookup, lookup->step == 0 ? "search" :
				   "search for what an attribute points to",
				   search->text);
	if (search->count == 1)
		return lookup_found(lookup);
	return lookup->step == 0 ? PASSDB_ANSWER_NOT_FOUND :
	       lookup_fail(lookup, "search for what an attribute points to",
			   "nothing found");
}

static void search_done(struct ldap_search *search)
{
	struct ldap_lookup *lookup =
		container_of(search, struct ldap_lookup, search);
	enum passdb_answer answer;

	if (search->server != NULL && lookup->port->db->servers.count > 1)
		passdb_observe(lookup->request, PASSDB_EVENT_ASKED, "server",
			       search->server);
	answer = lookup_judge(lookup);
	if (answer != PASSDB_ANSWER_WAIT)
		passdb_answer(lookup->request, answer);
}

/* A text with variables, in the request's arena; NULL when it does not work. */
static const char *expand(struct ldap_lookup *lookup, const char *name,
			  const char *text,
			  int (*escape)(struct str *out, size_t from,
					struct err *err))
{
	struct passdb_request *request = lookup->request;
	struct str *out = &request->passdb->scratch;
	struct var_source vars = passdb_request_vars(
		request, request->passdb->shared->settings->hostname);
	struct err err;

	vars.escape = escape;
	str_clear(out);
	if (var_expand(out, text, &vars, &err) < 0) {
		passdb_request_error(request, "%s: %s", name, err.text);
		return NULL;
	}
	return arena_strndup(request->arena, str_c(out), out->len);
}

static enum passdb_answer ldap_lookup(void *state,
				      struct passdb_request *request)
{
	struct ldap_port *port = state;
	const struct ldap_settings *settings = &port->db->settings;
	struct ldap_lookup *lookup =
		arena_new_struct(request->arena, struct ldap_lookup);
	struct ldap_search_params *params = &lookup->search.params;

	lookup->request = request;
	lookup->port = port;
	lookup->found.attrs = &port->db->attrs;
	lookup->search.arena = request->arena;
	lookup->search.done = search_done;
	params->base = expand(lookup, "base", settings->base, ldap_escape_dn);
	params->filter = expand(lookup, port->db->filter_name,
				port->db->filter, ldap_escape_filter);
	if (params->base == NULL || params->filter == NULL)
		return PASSDB_ANSWER_FAIL;
	params->scope = (enum ldap_scope)settings->scope;
	params->deref = (enum ldap_deref)settings->deref;
	params->size_limit = 2;
	params->time_limit_ms = port->db->timeout_ms;
	passdb_request_debug(request, "search: base %s, filter %s",
			     params->base, params->filter);
	passdb_observe(request, PASSDB_EVENT_ASKED, "servers",
		       settings->uris[0] != '\0' ? settings->uris
						 : settings->hosts);
	request->driver_state = lookup;
	lookup_search(lookup);
	return PASSDB_ANSWER_WAIT;
}

static bool put_key(const struct passdb_request *request, const char *text,
		    struct str *key)
{
	struct var_source vars = passdb_request_vars(
		request, request->passdb->shared->settings->hostname);
	struct err err;

	vars.escape = ldap_escape_filter; /* as good as another */
	return var_expand(key, text, &vars, &err) == 0;
}

static bool ldap_cache_key(void *state, const struct passdb_request *request,
			   struct str *key)
{
	const struct ldap_passdb *db = ((struct ldap_port *)state)->db;

	if (!db->cacheable || !put_key(request, db->settings.base, key))
		return false;
	str_putc(key, '\0');
	if (!put_key(request, db->filter, key))
		return false;
	str_putc(key, '\0');
	return !db->attrs_vary ||
	       ldap_attrs_put_key(&db->attrs, request, key) == 0;
}

static void ldap_cancel(struct passdb_request *request)
{
	struct ldap_lookup *lookup = request->driver_state;

	request->driver_state = NULL;
	ldap_pool_cancel(lookup->port->pool, &lookup->search);
}

const struct passdb_driver passdb_ldap = {
	.name = "ldap",
	.open = ldap_open,
	.close = ldap_close,
	.loop_open = ldap_loop_open,
	.loop_close = ldap_loop_close,
	.waiting = ldap_waiting,
	.lookup = ldap_lookup,
	.cache_key = ldap_cache_key,
	.cancel = ldap_cancel,
};
