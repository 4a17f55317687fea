#include "passdb/shared.h"

#include <string.h>
#include <strings.h>

#include "lib/mem.h"
#include "lib/panic.h"
#include "passdb/ldap/conn.h"
#include "passdb/userdb/ids.h"

const char *passdb_kind_name(enum passdb_kind kind)
{
	return kind == PASSDB_KIND_USER ? "userdb" : "passdb";
}

/* Cuts text at blanks and commas; NULL at the end, NULL when there is none. */
static const char **split_words(struct arena *arena, const char *text)
{
	const char **words = NULL;
	size_t count = 0, len;

	text += strspn(text, " ,");
	if (*text != '\0') /* a word takes two characters, the last one one */
		words = arena_alloc(arena, (strlen(text) / 2 + 2) *
					   sizeof(*words));
	for (; *text != '\0'; text += strspn(text, " ,")) {
		len = strcspn(text, " ,");
		words[count++] = arena_strndup(arena, text, len);
		text += len;
	}
	return words;
}

/* Whether a block's "mechanisms" lets lookups without one in. */
static bool serves_lookups(struct arena *arena, const char *mechanisms)
{
	const char **word = split_words(arena, mechanisms);

	if (word == NULL)
		return true;
	for (; *word != NULL; word++) {
		if (strcasecmp(*word, "none") == 0)
			return true;
	}
	return false;
}

/* What opening the blocks of one kind works with. */
struct chain_opener {
	struct passdb_shared *shared;
	enum passdb_kind kind;
	const struct passdb_shared *earlier; /* NULL: nothing */
	struct conf_errors *errors;
};

static void block_template(const struct chain_opener *opener,
			   struct passdb_template *template,
			   const struct passdb_block *block, const char *name,
			   const char *text)
{
	const struct var_source vars = passdb_request_vars(NULL, NULL);
	struct err why;

	if (passdb_template_parse(template, opener->shared->arena, text, &vars,
				  &why) == 0 &&
	    (opener->kind != PASSDB_KIND_USER ||
	     userdb_template_settle(template, opener->shared->arena,
				    &why) == 0))
		return;
	conf_error(opener->errors, block->file, block->line, "%s %s: %s: %s",
		   passdb_kind_name(opener->kind), block->driver, name,
		   why.text);
}

static void entry_set_rules(struct passdb_entry *entry,
			    const struct passdb_block *block,
			    struct conf_errors *errors)
{
	entry->next_success = (enum passdb_next)block->result_success;
	entry->next_failure = (enum passdb_next)block->result_failure;
	entry->next_internalfail = (enum passdb_next)block->result_internalfail;
	if (!block->pass)
		return;
	/* pass is the old way to write result_success. */
	if (entry->next_success != PASSDB_RETURN_OK)
		conf_error(errors, block->file, block->line,
			   "pass and result_success contradict");
	if (block->deny)
		conf_error(errors, block->file, block->line,
			   "a passdb cannot both deny and pass");
	entry->next_success = PASSDB_CONTINUE;
}

static void entry_open(const struct chain_opener *opener,
		       struct passdb_entry *entry,
		       const struct passdb_block *block)
{
	const struct var_source vars = passdb_request_vars(NULL, NULL);
	struct passdb_shared *shared = opener->shared;
	const struct passdb_open open = {
		shared->control, shared->settings, opener->kind, block, &vars,
		opener->earlier, shared, opener->errors,
	};
	struct err why = { "" };

	entry->block = block;
	entry_set_rules(entry, block, opener->errors);
	entry->name = block->name[0] != '\0' ? block->name : block->driver;
	entry->username_filter =
		split_words(shared->arena, block->username_filter);
	block_template(opener, &entry->default_fields, block, "default_fields",
		       block->default_fields);
	block_template(opener, &entry->override_fields, block,
		       "override_fields", block->override_fields);
	entry->shared = entry->driver->open(&open, &why);
	if (entry->shared != NULL)
		shared->chains[opener->kind].count++;
	else if (why.text[0] != '\0')
		conf_error(opener->errors, block->file, block->line,
			   "%s %s: %s", passdb_kind_name(opener->kind),
			   block->driver, why.text);
}

/* Blocks that take no part in lookups are still checked for their driver. */
static void open_block(const struct chain_opener *opener,
		       const struct passdb_block *block)
{
	struct passdb_shared *shared = opener->shared;
	struct passdb_chain *chain = &shared->chains[opener->kind];
	struct passdb_entry *entry = &chain->entries[chain->count];
	struct err why;

	entry->driver = passdb_driver_find(opener->kind, block->driver, &why);
	if (entry->driver == NULL) {
		conf_error(opener->errors, block->file, block->line, "%s",
			   why.text);
		return;
	}
	/* Said once, not by every worker process too. */
	if (shared->control == NULL && entry->driver->warning != NULL)
		conf_warning(opener->errors, block->file, block->line,
			     "%s driver %s %s", passdb_kind_name(opener->kind),
			     block->driver, entry->driver->warning);
	if (!block->master && serves_lookups(shared->arena, block->mechanisms))
		entry_open(opener, entry, block);
}

static void open_chain(const struct chain_opener *opener,
		       const struct passdb_block *blocks, unsigned count)
{
	struct passdb_chain *chain = &opener->shared->chains[opener->kind];
	unsigned i;

	chain->entries = arena_alloc(opener->shared->arena,
				     count * sizeof(*chain->entries));
	for (i = 0; i < count; i++)
		open_block(opener, &blocks[i]);
}

static void chain_close(const struct passdb_chain *chain)
{
	unsigned i;

	for (i = 0; i < chain->count; i++)
		chain->entries[i].driver->close(chain->entries[i].shared);
}

static void shared_free(struct passdb_shared *shared)
{
	unsigned i;

	for (i = 0; i < PASSDB_KINDS; i++)
		chain_close(&shared->chains[i]);
	passdb_cache_free(&shared->cache);
	passdb_flights_free(&shared->flights);
	nss_free(&shared->nss);
	arena_free(&shared->arena);
	mem_release(shared);
}

/* Opens everything that can be, whatever errors there are. */
static struct passdb_shared *open_all(struct loop *loop,
				      const struct passdb_settings *settings,
				      const struct passdb_shared *earlier,
				      struct conf_errors *errors)
{
	struct passdb_shared *shared = mem_new(struct passdb_shared);
	struct chain_opener opener = { shared, PASSDB_KIND_PASS, earlier,
				       errors };

	atomic_init(&shared->refs, 1);
	shared->control = loop;
	shared->control_thread = pthread_self();
	shared->settings = settings;
	shared->arena = arena_new(1024);
	username_rules_init(&shared->username, settings);
	if (loop != NULL && settings->cache_size > 0) {
		shared->cache = passdb_cache_new(
			settings->cache_size, settings->cache_ttl_ms,
			settings->cache_negative_ttl_ms);
		shared->flights = passdb_flights_new();
	}
	if (loop != NULL)
		shared->nss = nss_new();
	open_chain(&opener, settings->blocks, settings->count);
	opener.kind = PASSDB_KIND_USER;
	open_chain(&opener, settings->userdb_blocks, settings->userdb_count);
	return shared;
}

int passdb_check_format(const char *format, struct err *err)
{
	const struct var_source vars = passdb_request_vars(NULL, NULL);

	return var_check(format, &vars, err);
}

void passdb_setup(void)
{
	ldap_conn_setup();
}

void passdb_check(const struct passdb_settings *settings,
		  struct conf_errors *errors)
{
	shared_free(open_all(NULL, settings, NULL, errors));
}

/* Who loaded the settings has had passdb_check() list all that is wrong, so
 * the first error is enough. */
static struct passdb_shared *shared_new(struct loop *loop,
					const struct passdb_settings *settings,
					const struct passdb_shared *earlier,
					struct err *err)
{
	struct conf_errors errors = { .text = STR_INIT };
	struct passdb_shared *shared;
	struct err why;

	if (passdb_check_format(settings->username_format, &why) < 0) {
		err_put(err, "auth_username_format: %s", why.text);
		return NULL;
	}
	shared = open_all(loop, settings, earlier, &errors);
	if (errors.errors > 0) {
		err_put(err, "%.*s", (int)strcspn(str_c(&errors.text), "\n"),
			str_c(&errors.text));
		shared_free(shared);
		shared = NULL;
	}
	conf_errors_free(&errors);
	return shared;
}

struct passdb_shared *passdb_shared_new(struct loop *loop,
					const struct passdb_settings *settings,
					struct err *err)
{
	return shared_new(loop, settings, NULL, err);
}

struct passdb_shared *passdb_shared_renew(const struct passdb_shared *earlier,
					  const struct passdb_settings *settings,
					  struct err *err)
{
	return shared_new(earlier->control, settings, earlier, err);
}

struct passdb_shared *passdb_shared_ref(struct passdb_shared *shared)
{
	atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
	return shared;
}

static void shared_free_call(void *arg)
{
	shared_free(arg);
}

void passdb_shared_unref(struct passdb_shared **shared_p)
{
	struct passdb_shared *shared = *shared_p;

	*shared_p = NULL;
	if (shared == NULL ||
	    atomic_fetch_sub_explicit(&shared->refs, 1,
				      memory_order_acq_rel) > 1)
		return;
	if (pthread_equal(pthread_self(), shared->control_thread))
		shared_free(shared);
	else
		loop_post(shared->control, shared_free_call, shared);
}

bool passdb_shared_cache_stats(struct passdb_shared *shared,
			       struct passdb_cache_stats *stats_r)
{
	if (shared->cache == NULL)
		return false;
	passdb_cache_stats(shared->cache, stats_r);
	return true;
}

void passdb_shared_cache_flush(struct passdb_shared *shared)
{
	if (shared->cache != NULL)
		passdb_cache_flush(shared->cache);
}
