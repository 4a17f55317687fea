/* driver = passwd-file  args = [scheme=S] [username_format=F] PATH, of passdbs
 * and userdbs. PATH may hold variables: a file for each domain, say. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/mem.h"
#include "passdb/driver.h"
#include "passdb/observer.h"
#include "passdb/passwd/ready.h"
#include "passdb/passwd/watch.h"
#include "passdb/shared.h"

struct passwd_file {
	struct loop *control;
	struct arena *arena;
	struct var_source vars; /* to check what stands in files */
	const char *path;	/* with variables if path_has_vars */
	bool path_has_vars;
	const char *username_format; /* NULL: the name as it is */
	struct passwd_watch *watch;
};

/* One worker's end. Jobs may still be on the control loop when the worker is
 * done with us, so it outlives passwd_file_loop_close(). */
struct passwd_port {
	struct passwd_file *db;
	atomic_uint refs;
	pthread_mutex_t lock; /* guards loop */
	struct loop *loop;    /* NULL: closed */
	struct passwd_ready *ready; /* only the worker's; NULL: closed */
};

/* How often, and in which ms, it is asked whether nobody writes to a file any more. */
#define YOUNG_TRIES 20
#define YOUNG_PAUSE_MS 100

/* A file that the control loop shall read for a lookup that waits. */
struct passwd_job {
	struct passwd_port *port;
	struct passdb_shared *shared; /* keeps the files */
	struct passdb_request *request; /* only the worker's; NULL: canceled */
	char *path;
	enum passwd_watch_result result;
	struct passwd_table *table;
	/* only the worker's: */
	struct loop_timer pause;
	unsigned tries;
};

/* --- args --- */

static int set_option(struct passwd_file *db, const char *key, size_t key_len,
		      const char *value, size_t len, struct err *err)
{
	if (key_len == 6 && memcmp(key, "scheme", 6) == 0)
		return 0; /* of passwords, which are not looked at */
	if (key_len != 15 || memcmp(key, "username_format", 15) != 0)
		return err_set(err, "args: unknown setting '%.*s'",
			       (int)key_len, key);
	db->username_format = len == 2 && memcmp(value, "%u", 2) == 0 ? NULL :
			      arena_strndup(db->arena, value, len);
	return 0;
}

/* Settings, separated by single blanks, come before the path; that starts with
 * a slash and may itself hold blanks. */
static int parse_args(struct passwd_file *db, const char *args,
		      struct err *err)
{
	while (*args != '/' && *args != '\0') {
		size_t len = strcspn(args, " ");
		const char *equals = memchr(args, '=', len);
		size_t key_len = equals ? (size_t)(equals - args) : len;
		size_t value_len = equals ? len - key_len - 1 : 0;

		if (len > 0 && equals == NULL)
			return err_set(err, "args: the path '%s' does not "
				       "begin with /", args);
		if (len > 0 &&
		    set_option(db, args, key_len, args + len - value_len,
			       value_len, err) < 0)
			return -1;
		args += len;
		args += *args == ' ';
	}
	if (*args == '\0')
		return err_set(err, "args: the path of the file is missing");
	db->path = arena_strdup(db->arena, args);
	return 0;
}

static int check_vars(const struct passwd_file *db, struct err *err)
{
	struct err why;

	if (db->username_format != NULL &&
	    var_check(db->username_format, &db->vars, &why) < 0)
		return err_set(err, "username_format: %s", why.text);
	if (var_check(db->path, &db->vars, &why) < 0)
		return err_set(err, "path %s: %s", db->path, why.text);
	return 0;
}

/* Whether a path holds more than %%; that is then replaced. */
static void settle_path(struct passwd_file *db)
{
	struct str path = STR_INIT;
	const char *c;

	for (c = db->path; *c != '\0' && !db->path_has_vars; c++) {
		if (*c == '%' && c[1] == '%')
			c++;
		else if (*c == '%')
			db->path_has_vars = true;
		str_putc(&path, *c);
	}
	if (!db->path_has_vars)
		db->path = arena_strdup(db->arena, str_c(&path));
	str_free(&path);
}

static void passwd_file_close(void *shared)
{
	struct passwd_file *db = shared;

	passwd_watch_unref(&db->watch);
	arena_free(&db->arena);
	mem_release(db);
}

/* The same files, opened for another one. */
static struct passwd_watch *chain_watch(const struct passwd_file *db,
					const struct passdb_chain *chain)
{
	const struct passwd_file *other;
	unsigned i;

	for (i = 0; i < chain->count; i++) {
		if (chain->entries[i].driver != &passdb_passwd_file)
			continue;
		other = chain->entries[i].shared;
		if (other->path_has_vars == db->path_has_vars &&
		    strcmp(other->path, db->path) == 0)
			return passwd_watch_ref(other->watch);
	}
	return NULL;
}

static struct passwd_watch *known_watch(const struct passwd_file *db,
					const struct passdb_shared *shared)
{
	struct passwd_watch *watch = NULL;
	unsigned i;

	for (i = 0; shared != NULL && watch == NULL && i < PASSDB_KINDS; i++)
		watch = chain_watch(db, &shared->chains[i]);
	return watch;
}

static void *passwd_file_open(const struct passdb_open *open, struct err *err)
{
	struct passwd_file *db = mem_new(struct passwd_file);

	db->control = open->control;
	db->arena = arena_new(256);
	db->vars = *open->vars;
	if (parse_args(db, open->block->args, err) < 0 ||
	    check_vars(db, err) < 0) {
		passwd_file_close(db);
		return NULL;
	}
	settle_path(db);
	if (open->control == NULL)
		return db;
	db->watch = known_watch(db, open->opened);
	if (db->watch == NULL)
		db->watch = known_watch(db, open->earlier);
	if (db->watch == NULL)
		db->watch = passwd_watch_new(db->control, db->path_has_vars ?
					     NULL : db->path, &db->vars);
	return db;
}

/* --- the worker's end --- */

static void *passwd_file_loop_open(const struct passdb_env *env, void *shared)
{
	struct passwd_port *port = mem_new(struct passwd_port);

	port->db = shared;
	port->loop = env->loop;
	port->ready = passwd_ready_new();
	atomic_init(&port->refs, 1);
	pthread_mutex_init(&port->lock, NULL);
	return port;
}

static void port_unref(struct passwd_port *port)
{
	if (atomic_fetch_sub(&port->refs, 1) > 1)
		return;
	pthread_mutex_destroy(&port->lock);
	mem_release(port);
}

static void passwd_file_loop_close(void *own)
{
	struct passwd_port *port = own;

	pthread_mutex_lock(&port->lock);
	port->loop = NULL;
	pthread_mutex_unlock(&port->lock);
	passwd_ready_free(&port->ready);
	port_unref(port);
}

/* --- looking a user up in a table --- */

/* A field of a line: "key", "key=value", variables in the value. *plain: unset, if
 * more comes of it than a field with that value. */
static int put_field(struct passdb_request *request, char *field, bool *plain,
		     struct err *err)
{
	char *value = strchrnul(field, '=');
	const size_t prefix = strlen(PASSDB_USERDB_PREFIX);
	struct passdb_key key;

	if (request->kind == PASSDB_KIND_USER) {
		if (strncmp(field, PASSDB_USERDB_PREFIX, prefix) != 0)
			return 0; /* it is for passdbs */
		field += prefix;
	}
	if (*value != '\0')
		*value++ = '\0';
	key = passdb_key_parse(request->arena, field);
	*plain &= passdb_key_is_plain(&key, request->kind);
	if (!var_used(value))
		return passdb_request_put(request, &key, value, err);
	*plain = false;
	return passdb_request_expand(request, &key, value, err);
}

static enum passdb_answer read_fields(struct passdb_request *request,
				      const char *path, char *text, bool *plain)
{
	struct err err;
	char *field;

	while ((field = strsep(&text, " ")) != NULL) {
		if (*field == '\0' ||
		    put_field(request, field, plain, &err) == 0)
			continue;
		passdb_request_error(request, "%s: %s", path, err.text);
		return PASSDB_ANSWER_FAIL;
	}
	return PASSDB_ANSWER_FOUND;
}

static enum passdb_answer put_fields(struct passdb_request *request,
				     const char *path,
				     const struct passwd_entry *entry)
{
	const struct passwd_port *port = passdb_request_state(request);
	const struct passwd_part *extra = &entry->extra;
	bool first = request->kind == PASSDB_KIND_PASS &&
		     request->fields.count == 0 && request->observer == NULL;
	bool plain = first;
	enum passdb_answer answer;
	char *text;

	if (first && passwd_ready_use(port->ready, extra->text, extra->len,
				      request))
		return PASSDB_ANSWER_FOUND;
	text = arena_strndup(request->arena, extra->text, extra->len);
	answer = read_fields(request, path, text, &plain);
	if (plain && answer == PASSDB_ANSWER_FOUND)
		passwd_ready_note(port->ready, extra->text, extra->len, text,
				  &request->fields);
	return answer;
}

static int put_part(struct passdb_request *request, const char *name,
		    const struct passwd_part *part, struct err *err)
{
	const struct passdb_key key = passdb_key_parse(request->arena, name);

	if (part->len == 0)
		return 0;
	return passdb_request_put(request, &key,
				  arena_strndup(request->arena, part->text,
						part->len),
				  err);
}

/* Of old files: unlike the home, with variables, as in Dovecot. */
static int put_mail(struct passdb_request *request,
		    const struct passwd_part *part, struct err *err)
{
	const struct passdb_key key = passdb_key_parse(request->arena, "mail");

	if (part->len == 0)
		return 0;
	return passdb_request_expand(request, &key,
				     arena_strndup(request->arena, part->text,
						   part->len),
				     err);
}

/* For a userdb. A line with a password alone is not about such users. */
static enum passdb_answer put_user(struct passdb_request *request,
				   const char *path,
				   const struct passwd_entry *entry)
{
	struct passwd_user user;
	struct err err;

	passwd_entry_user(entry, &user);
	if (!user.is_user) {
		passdb_observe(request, PASSDB_EVENT_NOTE, NULL,
			       "the line ends before uid and gid");
		return PASSDB_ANSWER_NOT_FOUND;
	}
	if (put_part(request, "uid", &user.uid, &err) == 0 &&
	    put_part(request, "gid", &user.gid, &err) == 0 &&
	    put_part(request, "home", &user.home, &err) == 0 &&
	    put_mail(request, &user.mail, &err) == 0)
		return put_fields(request, path, entry);
	passdb_request_error(request, "%s: %s", path, err.text);
	return PASSDB_ANSWER_FAIL;
}

static enum passdb_answer find_in(struct passdb_request *request,
				  const struct passwd_table *table,
				  const char *path,
				  const struct passwd_part *name)
{
	struct passwd_entry entry;

	passdb_observe(request, PASSDB_EVENT_ASKED, "user", name->text);
	if (!passwd_table_find(table, name->text, name->len, &entry))
		return PASSDB_ANSWER_NOT_FOUND;
	if (!entry.broken)
		return request->kind == PASSDB_KIND_USER
			       ? put_user(request, path, &entry)
			       : put_fields(request, path, &entry);
	passdb_request_error(request, "%s: the user's line is broken (the log "
			     "of when the file was read says how)", path);
	return PASSDB_ANSWER_FAIL;
}

/* What the user is called in files; where there is a format, in the scratch
 * buffer. */
static int find_name(const struct passwd_file *db,
		     struct passdb_request *request, struct passwd_part *name_r,
		     struct err *err)
{
	struct str *name = &request->passdb->scratch;
	struct var_source vars;

	*name_r = (struct passwd_part){ request->username,
					strlen(request->username) };
	if (db->username_format == NULL)
		return 0;
	vars = passdb_request_vars(
		request, request->passdb->shared->settings->hostname);
	str_clear(name);
	if (var_expand(name, db->username_format, &vars, err) < 0)
		return -1;
	*name_r = (struct passwd_part){ str_c(name), name->len };
	return 0;
}

static enum passdb_answer find_user(const struct passwd_file *db,
				    struct passdb_request *request,
				    const struct passwd_table *table,
				    const char *path)
{
	struct passwd_part name;
	struct err err;

	if (find_name(db, request, &name, &err) < 0) {
		passdb_request_error(request, "username_format: %s", err.text);
		return PASSDB_ANSWER_FAIL;
	}
	return find_in(request, table, path, &name);
}

/* Whoever writes the file may just not have come to the user. */
static bool may_still_come(const struct passwd_file *db,
			   struct passdb_request *request,
			   const struct passwd_table *table)
{
	struct passwd_entry entry = { .broken = false };
	struct passwd_part name;
	struct err err;

	if (find_name(db, request, &name, &err) < 0)
		return false;
	return !passwd_table_find(table, name.text, name.len, &entry) ||
	       entry.broken || entry.unfinished;
}

/* Who is denied is often nobody: an empty file may be meant then, and no mail is bounced
 * for it. */
static bool denies_nobody(const struct passdb_request *request,
			  enum passwd_watch_result result)
{
	return result == PASSWD_WATCH_EMPTY &&
	       passdb_request_entry(request)->block->deny;
}

/* The answer when the file is known; takes over table. */
static enum passdb_answer answer_from(const struct passwd_file *db,
				      struct passdb_request *request,
				      const char *path,
				      enum passwd_watch_result result,
				      struct passwd_table *table)
{
	enum passdb_answer answer;

	passdb_observe(request, PASSDB_EVENT_ASKED, "file", path);
	if (denies_nobody(request, result))
		return PASSDB_ANSWER_NOT_FOUND;
	switch (result) {
	case PASSWD_WATCH_OK:
	case PASSWD_WATCH_YOUNG:
		answer = find_user(db, request, table, path);
		passwd_table_unref(&table);
		return answer;
	case PASSWD_WATCH_MISSING:
		passdb_observe(request, PASSDB_EVENT_NOTE, NULL,
			       "there is no such file");
		return PASSDB_ANSWER_NOT_FOUND;
	default:
		passdb_request_error(request, "%s could not be read", path);
		return PASSDB_ANSWER_FAIL;
	}
}

/* --- files that are not in memory yet --- */

static void job_free(struct passwd_job *job)
{
	passwd_table_unref(&job->table);
	port_unref(job->port);
	passdb_shared_unref(&job->shared);
	mem_free(&job->path);
	mem_release(job);
}

static void job_run(void *arg);

static void after_pause(struct loop_timer *timer)
{
	struct passwd_job *job = container_of(timer, struct passwd_job, pause);

	loop_timer_close(&job->pause);
	loop_post(job->port->db->control, job_run, job);
}

/* After a while. Who never stops writing has told us nothing of the user. */
static void job_again(struct passwd_job *job)
{
	struct passdb_request *request = job->request;

	passwd_table_unref(&job->table);
	if (++job->tries < YOUNG_TRIES) {
		loop_timer_open(&job->pause, job->port->loop, after_pause);
		loop_timer_set(&job->pause, YOUNG_PAUSE_MS);
		return;
	}
	passdb_request_error(request, "%s is being written to, and the user is "
			     "not there yet", job->path);
	passdb_answer(request, PASSDB_ANSWER_FAIL);
	job_free(job);
}

/* Back on the worker. */
static void job_done(void *arg)
{
	struct passwd_job *job = arg;
	struct passdb_request *request = job->request;
	struct passwd_table *table = job->table;
	enum passdb_answer answer;

	if (request != NULL && job->result == PASSWD_WATCH_YOUNG &&
	    may_still_come(job->port->db, request, table)) {
		job_again(job);
		return;
	}
	if (request != NULL) {
		job->table = NULL;
		answer = answer_from(job->port->db, request, job->path,
				     job->result, table);
		passdb_answer(request, answer);
	}
	job_free(job);
}

/* On the control loop. */
static void job_run(void *arg)
{
	struct passwd_job *job = arg;
	struct passwd_port *port = job->port;
	bool open;

	job->result = passwd_watch_load(port->db->watch, job->path,
					&job->table);
	pthread_mutex_lock(&port->lock);
	open = port->loop != NULL;
	if (open)
		loop_post(port->loop, job_done, job);
	pthread_mutex_unlock(&port->lock);
	if (!open)
		job_free(job);
}

static enum passdb_answer start_job(struct passwd_port *port,
				    struct passdb_request *request,
				    const char *path)
{
	struct passwd_job *job = mem_new(struct passwd_job);

	atomic_fetch_add(&port->refs, 1);
	job->port = port;
	job->shared = passdb_shared_ref(request->passdb->shared);
	job->request = request;
	job->path = mem_strdup(path);
	request->driver_state = job;
	loop_post(port->db->control, job_run, job);
	return PASSDB_ANSWER_WAIT;
}

static void passwd_file_cancel(struct passdb_request *request)
{
	struct passwd_job *job = request->driver_state;

	request->driver_state = NULL;
	job->request = NULL;
	if (job->pause.due_us == 0)
		return;
	loop_timer_close(&job->pause);
	job_free(job);
}

/* --- lookup --- */

/* Values become parts of file names: none may lead out of its folder. */
static int refuse_path(struct str *out, size_t from, struct err *err)
{
	const char *value = str_c(out) + from;
	size_t len = out->len - from;

	if (memchr(value, '/', len) != NULL || memchr(value, '\0', len) ||
	    strcmp(value, ".") == 0 || strcmp(value, "..") == 0)
		return err_set(err, "'%s' cannot be part of a file name",
			       value);
	return 0;
}

/* The path for this user, in the scratch buffer. */
static enum passdb_answer expand_path(const struct passwd_file *db,
				      struct passdb_request *request)
{
	struct str *path = &request->passdb->scratch;
	struct var_source vars = passdb_request_vars(
		request, request->passdb->shared->settings->hostname);
	struct err err;
	int ret;

	vars.escape = refuse_path;
	str_clear(path);
	ret = var_expand(path, db->path, &vars, &err);
	if (ret == VAR_REFUSED) {
		passdb_request_info(request, "no file: %s", err.text);
		return PASSDB_ANSWER_NOT_FOUND;
	}
	if (ret < 0) {
		passdb_request_error(request, "path: %s", err.text);
		return PASSDB_ANSWER_FAIL;
	}
	return PASSDB_ANSWER_FOUND;
}

static enum passdb_answer answer_or_wait(struct passwd_port *port,
					 struct passdb_request *request,
					 const char *path,
					 enum passwd_watch_result result,
					 struct passwd_table *table)
{
	bool wait = result == PASSWD_WATCH_UNKNOWN ||
		    (result == PASSWD_WATCH_YOUNG &&
		     may_still_come(port->db, request, table));

	if (!wait)
		return answer_from(port->db, request, path, result, table);
	passwd_table_unref(&table);
	return start_job(port, request, path);
}

static enum passdb_answer lookup_variable(struct passwd_port *port,
					  struct passdb_request *request)
{
	enum passdb_answer answer = expand_path(port->db, request);
	struct passwd_table *table = NULL;
	enum passwd_watch_result result;
	char *path;

	if (answer != PASSDB_ANSWER_FOUND)
		return answer;
	path = arena_strdup(request->arena, str_c(&request->passdb->scratch));
	result = passwd_watch_get(port->db->watch, path, &table);
	return answer_or_wait(port, request, path, result, table);
}

static enum passdb_answer passwd_file_lookup(void *state,
					     struct passdb_request *request)
{
	struct passwd_port *port = state;
	struct passwd_table *table = NULL;
	enum passwd_watch_result result;

	if (port->db->path_has_vars)
		return lookup_variable(port, request);
	result = passwd_watch_get(port->db->watch, port->db->path, &table);
	return answer_or_wait(port, request, port->db->path, result, table);
}

const struct passdb_driver passdb_passwd_file = {
	.name = "passwd-file",
	.open = passwd_file_open,
	.close = passwd_file_close,
	.loop_open = passwd_file_loop_open,
	.loop_close = passwd_file_loop_close,
	.lookup = passwd_file_lookup,
	.cancel = passwd_file_cancel,
};
