#include "passdb/passdb.h"

#include <string.h>

#include "lib/mem.h"
#include "lib/panic.h"
#include "lib/wildcard.h"
#include "passdb/ask.h"
#include "passdb/observer.h"
#include "passdb/shared.h"
#include "passdb/stats.h"

enum passdb_skip { SKIP_NEVER, SKIP_AUTHENTICATED, SKIP_UNAUTHENTICATED };

/* Opens what the loop has of its own of a chain. */
static void **states_open(const struct passdb_env *env,
			  const struct passdb_chain *chain)
{
	void **states = mem_alloc(chain->count * sizeof(*states));
	unsigned i;

	for (i = 0; i < chain->count; i++) {
		const struct passdb_entry *entry = &chain->entries[i];

		states[i] = entry->driver->loop_open == NULL ?
			entry->shared :
			entry->driver->loop_open(env, entry->shared);
	}
	return states;
}

struct passdb *passdb_new(struct loop *loop, struct dns *dns,
			  struct passdb_shared *shared)
{
	const struct passdb_env env = { loop, dns };
	struct passdb *passdb = mem_new(struct passdb);
	unsigned i;

	passdb->loop = loop;
	passdb->shared = passdb_shared_ref(shared);
	passdb_ask_open(passdb);
	for (i = 0; i < PASSDB_KINDS; i++)
		passdb->states[i] = states_open(&env, &shared->chains[i]);
	return passdb;
}

void passdb_count(struct passdb *passdb, struct passdb_stats *stats)
{
	passdb->stats = stats;
}

static void count_waiting(const struct passdb_chain *chain, void **states,
			  struct passdb_stats *stats)
{
	unsigned i;

	for (i = 0; i < chain->count; i++) {
		const struct passdb_driver *driver = chain->entries[i].driver;

		if (driver->waiting != NULL)
			passdb_stats_find(stats, driver->name)->waiting +=
				driver->waiting(states[i]);
	}
}

void passdb_count_waiting(struct passdb *passdb, struct passdb_stats *stats)
{
	unsigned i;

	for (i = 0; i < PASSDB_KINDS; i++)
		count_waiting(&passdb->shared->chains[i], passdb->states[i],
			      &stats[i]);
}

static void states_close(const struct passdb_chain *chain, void ***states)
{
	unsigned i;

	for (i = 0; i < chain->count; i++) {
		const struct passdb_driver *driver = chain->entries[i].driver;

		if (driver->loop_close != NULL)
			driver->loop_close((*states)[i]);
	}
	mem_free(states);
}

void passdb_free(struct passdb **passdb_p)
{
	struct passdb *passdb = *passdb_p;
	unsigned i;

	if (passdb == NULL)
		return;
	passdb_ask_close(passdb);
	for (i = 0; i < PASSDB_KINDS; i++)
		states_close(&passdb->shared->chains[i], &passdb->states[i]);
	passdb_shared_unref(&passdb->shared);
	str_free(&passdb->scratch);
	str_free(&passdb->key);
	mem_free(passdb_p);
}

/* --- the end of a lookup --- */

static void request_finished(struct loop_task *task)
{
	struct passdb_request *request =
		container_of(task, struct passdb_request, task);

	request->passdb = NULL;
	request->done(request);
}

static void request_finish(struct passdb_request *request,
			   enum passdb_result result)
{
	request->result = result;
	if (result != PASSDB_OK)
		request->fields.count = 0;
	if (result != PASSDB_FAIL)
		request->reason = NULL;
	passdb_request_split_fields(request);
	loop_timer_close(&request->timer);
	request->task.fn = request_finished;
	loop_defer(request->passdb->loop, &request->task);
}

/* --- which passdb is asked --- */

/* Whether no pattern with '!' matches, and one of the others, if there are
 * any. */
static bool filter_accepts(const char **patterns, const char *user)
{
	bool only_exclusions = true, included = false;

	for (; *patterns != NULL; patterns++) {
		bool exclude = **patterns == '!';
		bool match = wildcard_match(user, *patterns + exclude);

		if (exclude && match)
			return false;
		if (!exclude) {
			only_exclusions = false;
			included |= match;
		}
	}
	return included || only_exclusions;
}

/* Of a userdb: unlike with passdbs, only what the rules make of an answer
 * counts. */
static const char *userdb_skipped_by(const struct passdb_entry *entry,
				     bool found)
{
	if (entry->block->skip == SKIP_AUTHENTICATED && found)
		return "skip=found";
	if (entry->block->skip == SKIP_UNAUTHENTICATED && !found)
		return "skip=notfound";
	return NULL;
}

/* What keeps the passdb from being asked; NULL: nothing. */
static const char *step_skipped_by(const struct passdb_request *request)
{
	const struct passdb_entry *entry = passdb_request_entry(request);

	if (entry->username_filter != NULL &&
	    !filter_accepts(entry->username_filter, request->username))
		return "username_filter";
	if (request->kind == PASSDB_KIND_USER)
		return userdb_skipped_by(entry, request->found);
	if (entry->block->skip == SKIP_AUTHENTICATED && request->authenticated)
		return "skip=authenticated";
	if (entry->block->skip == SKIP_UNAUTHENTICATED &&
	    !request->authenticated)
		return "skip=unauthenticated";
	return NULL;
}

/* Moves to the first passdb from the current step on that is not skipped. */
static bool chain_find_step(struct passdb_request *request)
{
	unsigned count = passdb_request_chain(request)->count;
	const char *why;

	for (; request->step < count; request->step++) {
		why = step_skipped_by(request);
		passdb_observe(request, PASSDB_EVENT_STEP, NULL, why);
		if (why == NULL)
			return true;
		passdb_request_debug(request, "skipped by %s", why);
	}
	return false;
}

/* --- asking it --- */

static enum passdb_answer put_template(struct passdb_request *request,
				       const struct passdb_template *template,
				       const char *setting)
{
	struct err err;

	request->vars_user = request->username;
	passdb_observe(request, PASSDB_EVENT_SOURCE, setting, NULL);
	if (template->count == 0)
		return PASSDB_ANSWER_FOUND;
	if (passdb_request_put_template(request, template, &err) == 0)
		return PASSDB_ANSWER_FOUND;
	passdb_request_error(request, "%s: %s", setting, err.text);
	return PASSDB_ANSWER_FAIL;
}

static enum passdb_answer step_ask(struct passdb_request *request)
{
	const struct passdb_entry *entry = passdb_request_entry(request);
	const char *reason = request->reason;
	enum passdb_answer answer;

	request->asked = entry->name;
	passdb_request_debug(request, "lookup");
	request->before = request->fields;
	request->fields = passdb_fields_copy(&request->before,
					     request->arena);
	request->refused = false;
	request->reason = NULL;
	if (put_template(request, &entry->default_fields,
			 "default_fields") == PASSDB_ANSWER_FAIL)
		return PASSDB_ANSWER_FAIL;
	request->vars_user = request->username;
	passdb_observe(request, PASSDB_EVENT_SOURCE, NULL, NULL);
	answer = passdb_ask(request);
	if (answer != PASSDB_ANSWER_FAIL)
		request->reason = reason; /* why an earlier one failed */
	return answer;
}

/* --- what its answer means --- */

/* What becomes of a step: the answer, and whether the next one is asked. */
struct verdict {
	enum passdb_answer answer;
	bool more;
};

static void apply_rule(struct passdb_request *request, enum passdb_next rule,
		       struct verdict *verdict)
{
	switch (rule) {
	case PASSDB_RETURN:
		break;
	case PASSDB_RETURN_OK:
		request->found = true;
		break;
	case PASSDB_RETURN_FAIL:
		request->found = false;
		break;
	case PASSDB_CONTINUE:
		verdict->more = true;
		if (verdict->answer == PASSDB_ANSWER_FOUND)
			request->authenticated = true;
		break;
	case PASSDB_CONTINUE_OK:
		verdict->more = true;
		request->found = true;
		request->authenticated = true;
		break;
	case PASSDB_CONTINUE_FAIL:
		verdict->more = true;
		request->found = false;
		break;
	}
}

static enum passdb_next entry_rule(const struct passdb_entry *entry,
				   enum passdb_answer answer)
{
	if (answer == PASSDB_ANSWER_FOUND)
		return entry->next_success;
	if (answer == PASSDB_ANSWER_NOT_FOUND)
		return entry->next_failure;
	return entry->next_internalfail;
}

static const char *answer_name(enum passdb_answer answer)
{
	static const char *const names[] = {
		[PASSDB_ANSWER_FOUND] = "found",
		[PASSDB_ANSWER_NOT_FOUND] = "not found",
		[PASSDB_ANSWER_FAIL] = "failed",
	};

	return names[answer];
}

static void debug_answer(struct passdb_request *request,
			 enum passdb_answer answer)
{
	struct str fields = STR_INIT;

	if (!request->passdb->shared->settings->debug &&
	    !log_debug_is_wanted())
		return;
	passdb_request_describe(request, &fields);
	passdb_request_debug(request, "%s%s", answer_name(answer),
			     answer == PASSDB_ANSWER_FOUND ? str_c(&fields)
							   : "");
	str_free(&fields);
}

/* The names of enum passdb_next, as the settings have them. */
static const char *rule_name(enum passdb_next rule)
{
	static const char *const names[] = {
		[PASSDB_RETURN_OK] = "return-ok",
		[PASSDB_RETURN] = "return",
		[PASSDB_RETURN_FAIL] = "return-fail",
		[PASSDB_CONTINUE] = "continue",
		[PASSDB_CONTINUE_OK] = "continue-ok",
		[PASSDB_CONTINUE_FAIL] = "continue-fail",
	};

	return names[rule];
}

/* What decides how the chain goes on from here. */
static const char *step_rule(struct passdb_request *request,
			     enum passdb_answer answer, bool ask_on)
{
	static const char *const settings[] = {
		[PASSDB_ANSWER_FOUND] = "result_success=",
		[PASSDB_ANSWER_NOT_FOUND] = "result_failure=",
		[PASSDB_ANSWER_FAIL] = "result_internalfail=",
	};
	const struct passdb_entry *entry = passdb_request_entry(request);

	if (entry->block->deny && answer != PASSDB_ANSWER_NOT_FOUND)
		return "deny=yes";
	if (ask_on)
		return "noauthenticate";
	return arena_concat(request->arena, settings[answer],
			    rule_name(entry_rule(entry, answer)), "");
}

static void observe_answer(struct passdb_request *request,
			   enum passdb_answer answer, bool ask_on)
{
	if (request->observer != NULL)
		passdb_observer_tell(request, PASSDB_EVENT_ANSWER,
				     step_rule(request, answer, ask_on),
				     answer_name(answer));
}

/* Leaves the fields as this step's answer makes them: those that it set count
 * only if it found the user. "noauthenticate" asks for another passdb whatever
 * the rules say; returns whether it was there. */
static bool settle_fields(struct passdb_request *request,
			  enum passdb_answer answer)
{
	bool ask_on = false;

	if (answer != PASSDB_ANSWER_FOUND) {
		request->fields = request->before;
	} else if (request->kind == PASSDB_KIND_PASS) {
		passdb_fields_remove(&request->fields, "nopassword");
		ask_on = passdb_fields_remove(&request->fields,
					      "noauthenticate");
	}
	observe_answer(request, answer, ask_on);
	return ask_on;
}

/* After the last passdb. */
static void chain_finish(struct passdb_request *request,
			 enum passdb_answer answer, bool ask_on)
{
	if (ask_on) {
		passdb_lookup_error(request, "the last passdb has "
				    "noauthenticate set");
		request_finish(request, PASSDB_FAIL);
	} else if (request->found)
		request_finish(request, PASSDB_OK);
	else if (answer == PASSDB_ANSWER_NOT_FOUND &&
		 !request->internal_failure)
		request_finish(request, PASSDB_NOT_FOUND);
	else /* also: found, but no rule says that this is enough */
		request_finish(request, PASSDB_FAIL);
}

/* A deny passdb lets those through whom it does not know. Whether it ended the
 * lookup. */
static bool chain_denied(struct passdb_request *request,
			 enum passdb_answer answer)
{
	if (!passdb_request_entry(request)->block->deny ||
	    answer == PASSDB_ANSWER_NOT_FOUND)
		return false;
	observe_answer(request, answer, false);
	if (answer == PASSDB_ANSWER_FAIL) {
		request_finish(request, PASSDB_FAIL);
		return true;
	}
	passdb_request_info(request, "found in a deny passdb");
	request_finish(request, PASSDB_NOT_FOUND);
	return true;
}

static enum passdb_answer step_override(struct passdb_request *request,
					enum passdb_answer answer)
{
	const struct passdb_template *fields =
		&passdb_request_entry(request)->override_fields;

	if (put_template(request, fields, "override_fields") ==
	    PASSDB_ANSWER_FAIL)
		return PASSDB_ANSWER_FAIL;
	if (answer == PASSDB_ANSWER_FOUND && request->refused &&
	    !passdb_request_entry(request)->block->deny)
		return PASSDB_ANSWER_NOT_FOUND;
	return answer;
}

/* Takes the answer of the current step. Returns true when the next passdb is
 * to be asked, false when the lookup is over. */
static bool chain_judge(struct passdb_request *request,
			enum passdb_answer answer)
{
	struct verdict verdict = { .more = false };
	bool ask_on;

	verdict.answer = step_override(request, answer);
	debug_answer(request, verdict.answer);
	if (chain_denied(request, verdict.answer))
		return false;
	ask_on = settle_fields(request, verdict.answer);
	if (ask_on)
		verdict.more = true;
	else
		apply_rule(request,
			   entry_rule(passdb_request_entry(request), verdict.answer),
			   &verdict);
	request->step++;
	if (verdict.more && chain_find_step(request)) {
		if (verdict.answer == PASSDB_ANSWER_FAIL)
			request->internal_failure = true;
		return true;
	}
	chain_finish(request, verdict.answer, ask_on);
	return false;
}

/* --- running it --- */

static void request_expired(struct loop_timer *timer)
{
	struct passdb_request *request =
		container_of(timer, struct passdb_request, timer);

	bool stale = passdb_ask_has_stale(request);

	passdb_request_error(request, "no answer within auth_lookup_timeout");
	if (!stale) {
		passdb_observe(request, PASSDB_EVENT_ANSWER,
			       "auth_lookup_timeout", "none");
		request->timed_out = true;
		passdb_ask_cancel(request);
		request_finish(request, PASSDB_FAIL);
		return;
	}
	/* What is kept may lead to another passdb, which has its time, too. */
	loop_timer_set(timer, request->passdb->shared->settings->
			      lookup_timeout_ms);
	passdb_ask_give_up(request);
}

static void request_wait(struct passdb_request *request)
{
	const struct passdb_shared *shared = request->passdb->shared;

	if (request->timer.loop != NULL)
		return; /* the deadline is one for all passdbs */
	loop_timer_open(&request->timer, request->passdb->loop,
			request_expired);
	loop_timer_set(&request->timer, shared->settings->lookup_timeout_ms);
}

/* Asks passdbs until one makes us wait or the lookup is over. */
static void chain_run(struct passdb_request *request)
{
	enum passdb_answer answer;

	do {
		answer = step_ask(request);
		if (answer == PASSDB_ANSWER_WAIT) {
			request_wait(request);
			return;
		}
	} while (chain_judge(request, answer));
}

void passdb_answer(struct passdb_request *request, enum passdb_answer answer)
{
	ASSERT(request->passdb != NULL && answer != PASSDB_ANSWER_WAIT);
	request->driver_state = NULL;
	answer = passdb_ask_answered(request, answer);
	if (chain_judge(request, answer))
		chain_run(request);
}

/* auth_username_format, as far as it is not done yet. */
static int request_format(struct passdb_request *request)
{
	const struct passdb_shared *shared = request->passdb->shared;
	struct str *name = &request->passdb->scratch;
	struct var_source vars = passdb_request_vars(
		request, shared->settings->hostname);
	struct err err;

	str_clear(name);
	request->vars_user = request->username;
	if (var_expand(name, shared->username.format, &vars, &err) < 0) {
		passdb_lookup_error(request, "auth_username_format: %s",
				    err.text);
		return -1;
	}
	request->username = arena_strndup(request->arena, str_c(name),
					  name->len);
	return 0;
}

/* auth_default_realm, auth_username_translation and auth_username_chars. */
static int request_clean(struct passdb_request *request)
{
	const struct username_rules *rules =
		&request->passdb->shared->username;
	struct str *name = &request->passdb->scratch;
	struct err err;

	request->username = request->user;
	if (username_is_clean(rules, request->user))
		return 0;
	str_clear(name);
	if (username_clean(rules, request->user, name, &err) < 0) {
		passdb_lookup_info(request, "%s", err.text);
		return -1;
	}
	request->username = arena_strndup(request->arena, str_c(name),
					  name->len);
	return 0;
}

/* Sets request->username. PASSDB_OK, or what the lookup ends with. */
static enum passdb_result request_normalize(struct passdb_request *request)
{
	const struct username_rules *rules =
		&request->passdb->shared->username;

	if (request_clean(request) < 0)
		return PASSDB_NOT_FOUND;
	if (rules->format != NULL && request_format(request) < 0)
		return PASSDB_FAIL;
	if (request->username[0] != '\0')
		return PASSDB_OK;
	passdb_lookup_info(request, "the name is empty");
	return PASSDB_NOT_FOUND;
}

static void request_reset(struct passdb_request *request,
			  struct passdb *passdb, enum passdb_kind kind)
{
	request->passdb = passdb;
	request->kind = kind;
	request->reason = NULL;
	request->fields = request->given;
	request->timer = (struct loop_timer){ .loop = NULL };
	request->step = 0;
	request->asked = NULL;
	request->internal_failure = request->found = false;
	request->authenticated = request->refused = false;
	request->malformed = request->timed_out = false;
	request->driver_state = NULL;
	request->ask = NULL;
}

void passdb_request_start(struct passdb *passdb,
			  struct passdb_request *request,
			  enum passdb_kind kind)
{
	enum passdb_result result;

	ASSERT(request->passdb == NULL);
	request_reset(request, passdb, kind);
	result = request_normalize(request);
	if (result != PASSDB_OK) {
		request_finish(request, result);
	} else if (!chain_find_step(request)) {
		passdb_lookup_error(request, "no %s takes part in this "
				    "lookup", passdb_kind_name(kind));
		request_finish(request, PASSDB_FAIL);
	} else {
		chain_run(request);
	}
}

void passdb_lookup(struct passdb *passdb, struct passdb_request *request)
{
	passdb_request_start(passdb, request, PASSDB_KIND_PASS);
}

void passdb_cancel(struct passdb_request *request)
{
	if (request->passdb == NULL)
		return;
	if (list_linked(&request->task.node))
		loop_task_cancel(&request->task);
	else
		passdb_ask_cancel(request);
	loop_timer_close(&request->timer);
	request->passdb = NULL;
}
