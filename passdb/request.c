#include "passdb/request.h"

#include <string.h>

#include "passdb/ask.h"
#include "passdb/observer.h"
#include "passdb/shared.h"

int passdb_request_put(struct passdb_request *request,
		       const struct passdb_key *key, const char *value,
		       struct err *err)
{
	struct passdb_fields *fields = &request->fields;
	passdb_special_fn *put;
	struct err why;
	int fate;

	if (key->name[0] == '\0')
		return err_set(err, "a field has no name");
	if (request->ask != NULL)
		passdb_ask_record(request, key->text, value);
	passdb_observe(request, PASSDB_EVENT_FIELD, key->text, value);
	if (key->suffix == PASSDB_SUFFIX_REMOVE) {
		passdb_fields_remove(fields, key->name);
		return 0;
	}
	if (key->suffix == PASSDB_SUFFIX_PROTECTED &&
	    passdb_fields_get(fields, key->name) != NULL)
		return 0;
	put = passdb_special_put(key->special, request->kind);
	if (put != NULL) {
		fate = put(request, value, &why);
		if (fate < 0) {
			request->malformed = true;
			return err_set(err, "field %s: %s", key->special->name,
				       why.text);
		}
		if (fate == PASSDB_SPECIAL_DROP)
			return 0;
	}
	passdb_fields_put(fields, request->arena, key->name, value,
			  put != NULL);
	return 0;
}

/* --- with variables --- */

int passdb_request_expand_vars(struct passdb_request *request,
			       const struct passdb_key *key, const char *value,
			       const struct var_source *vars, struct err *err)
{
	struct str *out = &request->passdb->scratch;
	struct err why;

	str_clear(out);
	if (var_expand(out, value, vars, &why) < 0)
		return err_set(err, "field %s: %s", key->text, why.text);
	return passdb_request_put(request, key,
				  arena_strndup(request->arena, str_c(out),
						out->len),
				  err);
}

int passdb_request_expand(struct passdb_request *request,
			  const struct passdb_key *key, const char *value,
			  struct err *err)
{
	struct var_source vars = passdb_request_vars(
		request, request->passdb->shared->settings->hostname);

	return passdb_request_expand_vars(request, key, value, &vars, err);
}

int passdb_request_put_template(struct passdb_request *request,
				const struct passdb_template *template,
				struct err *err)
{
	const struct passdb_template_field *field = template->fields;
	unsigned i;
	int ret = 0;

	for (i = 0; i < template->count && ret == 0; i++, field++) {
		if (field->has_vars)
			ret = passdb_request_expand(request, &field->key,
						    field->value, err);
		else
			ret = passdb_request_put(request, &field->key,
						 field->value, err);
	}
	return ret;
}

void passdb_request_split_fields(struct passdb_request *request)
{
	struct passdb_fields *fields = &request->fields;
	const size_t prefix = strlen(PASSDB_USERDB_PREFIX);
	unsigned i, kept = 0;

	request->userdb = (struct passdb_fields){ .list = NULL };
	for (i = 0; i < fields->count; i++) {
		const struct passdb_field *field = &fields->list[i];

		if (!field->hidden)
			fields->list[kept++] = *field;
		else if (strncmp(field->key, PASSDB_USERDB_PREFIX, prefix) == 0)
			passdb_fields_put(&request->userdb, request->arena,
					  field->key + prefix, field->value,
					  false);
	}
	fields->count = kept;
}

/* --- log lines --- */

void passdb_request_describe(const struct passdb_request *request,
			     struct str *out)
{
	unsigned i;

	for (i = 0; i < request->fields.count; i++) {
		const struct passdb_field *field = &request->fields.list[i];

		str_printf(out, " %s", field->key);
		if (field->value[0] != '\0')
			str_printf(out, "=%s", passdb_field_is_secret(field->key) ?
				   "<hidden>" : field->value);
	}
}

static void request_tell(const struct passdb_request *request, const char *fmt,
			 va_list ap)
{
	struct str text = STR_INIT;

	str_vprintf(&text, fmt, ap);
	passdb_observer_tell(request, PASSDB_EVENT_NOTE, NULL, str_c(&text));
	str_free(&text);
}

/* Errors with the same fmt are alike, whoever the user is. */
static struct str *request_begin(const struct passdb_request *request,
				 enum log_level level, const char *fmt)
{
	return level == LOG_LEVEL_ERROR
		       ? log_begin_kind(level, request->log, (uintptr_t)fmt)
		       : log_begin(level, request->log);
}

/* name: of the passdb; NULL: it is about none in particular. An observer hears
 * it instead of the log. */
static void request_say(const struct passdb_request *request, const char *name,
			enum log_level level, const char *fmt, va_list ap)
{
	const char *kind = passdb_kind_name(request->kind);
	struct str *line;

	if (request->observer != NULL) {
		request_tell(request, fmt, ap);
		return;
	}
	line = request_begin(request, level, fmt);
	if (line == NULL)
		return;
	if (name != NULL)
		str_printf(line, "%s %s: user %s: ", kind, name,
			   request->username);
	else
		str_printf(line, "%s: user %s: ", kind, request->user);
	str_vprintf(line, fmt, ap);
	log_end();
}

void passdb_request_debug(const struct passdb_request *request,
			  const char *fmt, ...)
{
	struct str text = STR_INIT;
	va_list ap;

	if (!request->passdb->shared->settings->debug &&
	    !log_debug_is_wanted())
		return;
	va_start(ap, fmt);
	str_vprintf(&text, fmt, ap);
	va_end(ap);
	log_debug(request->log, "%s %s: user %s: %s",
		  passdb_kind_name(request->kind),
		  passdb_request_entry(request)->name, request->username,
		  str_c(&text));
	str_free(&text);
}

void passdb_request_error(const struct passdb_request *request,
			  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	request_say(request, passdb_request_entry(request)->name, LOG_LEVEL_ERROR, fmt,
		    ap);
	va_end(ap);
}

void passdb_request_info(const struct passdb_request *request,
			 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	request_say(request, passdb_request_entry(request)->name, LOG_LEVEL_INFO, fmt,
		    ap);
	va_end(ap);
}

void passdb_lookup_error(const struct passdb_request *request,
			 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	request_say(request, NULL, LOG_LEVEL_ERROR, fmt, ap);
	va_end(ap);
}

void passdb_lookup_info(const struct passdb_request *request,
			const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	request_say(request, NULL, LOG_LEVEL_INFO, fmt, ap);
	va_end(ap);
}
