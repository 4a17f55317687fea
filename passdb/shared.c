#include "passdb/shared.h"

#include <string.h>
#include <strings.h>

#include "lib/mem.h"
#include "lib/panic.h"

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

static int entry_set_rules(struct passdb_entry *entry,
			   const struct passdb_block *block, struct err *err)
{
	entry->next_success = (enum passdb_next)block->result_success;
	entry->next_failure = (enum passdb_next)block->result_failure;
	entry->next_internalfail = (enum passdb_next)block->result_internalfail;
	if (!block->pass)
		return 0;
	if (entry->next_success != PASSDB_RETURN_OK)
		return err_set(err, "pass=yes cannot be combined with "
			       "result_success");
	entry->next_success = PASSDB_CONTINUE;
	return 0;
}

static int entry_open(struct passdb_shared *shared, struct passdb_entry *entry,
		      const struct passdb_block *block,
		      const struct passdb_shared *earlier, struct err *err)
{
	const struct var_source vars = passdb_request_vars(NULL, NULL);
	const struct passdb_open open = {
		shared->control, shared->settings, block, &vars, earlier,
	};

	entry->block = block;
	entry->driver = passdb_driver_find(block->driver, err);
	if (entry->driver == NULL || entry_set_rules(entry, block, err) < 0)
		return -1;
	entry->name = block->name[0] != '\0' ? block->name : block->driver;
	entry->username_filter =
		split_words(shared->arena, block->username_filter);
	if (passdb_template_parse(&entry->default_fields, shared->arena,
				  block->default_fields, &vars, err) < 0 ||
	    passdb_template_parse(&entry->override_fields, shared->arena,
				  block->override_fields, &vars, err) < 0)
		return -1;
	entry->shared = entry->driver->open(&open, err);
	return entry->shared != NULL ? 0 : -1;
}

/* Blocks that take no part in lookups are still checked for their driver. */
static int open_block(struct passdb_shared *shared,
		      const struct passdb_block *block,
		      const struct passdb_shared *earlier, struct err *err)
{
	struct passdb_entry *entry = &shared->entries[shared->count];
	struct err why;
	int ret;

	if (block->master || !serves_lookups(shared->arena, block->mechanisms))
		ret = passdb_driver_find(block->driver, &why) ? 0 : -1;
	else
		ret = entry_open(shared, entry, block, earlier, &why);
	if (ret < 0)
		return err_set(err, "%s:%u: passdb: %s", block->file,
			       block->line, why.text);
	if (entry->shared != NULL)
		shared->count++;
	return 0;
}

static void shared_free(struct passdb_shared *shared)
{
	unsigned i;

	for (i = 0; i < shared->count; i++)
		shared->entries[i].driver->close(shared->entries[i].shared);
	arena_free(&shared->arena);
	mem_release(shared);
}

static int open_all(struct passdb_shared *shared,
		    const struct passdb_shared *earlier, struct err *err)
{
	const struct passdb_settings *settings = shared->settings;
	const struct var_source vars = passdb_request_vars(NULL, NULL);
	struct err why;
	unsigned i;

	if (var_check(settings->username_format, &vars, &why) < 0)
		return err_set(err, "auth_username_format: %s", why.text);
	for (i = 0; i < settings->count; i++) {
		if (open_block(shared, &settings->blocks[i], earlier, err) < 0)
			return -1;
	}
	return 0;
}

static struct passdb_shared *shared_new(struct loop *loop,
					const struct passdb_settings *settings,
					const struct passdb_shared *earlier,
					struct err *err)
{
	struct passdb_shared *shared = mem_new(struct passdb_shared);

	atomic_init(&shared->refs, 1);
	shared->control = loop;
	shared->control_thread = pthread_self();
	shared->settings = settings;
	shared->arena = arena_new(1024);
	shared->entries = arena_alloc(shared->arena, settings->count *
						     sizeof(*shared->entries));
	username_rules_init(&shared->username, settings);
	if (open_all(shared, earlier, err) < 0) {
		shared_free(shared);
		return NULL;
	}
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
