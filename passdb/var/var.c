#include "passdb/var/var.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "passdb/var/private.h"

#define VAR_MAX_DEPTH 8	      /* %{if} within %{if} */
#define VAR_MAX_NUMBER 65535  /* offset and width */
#define VAR_MAX_MODIFIERS 10

bool var_used(const char *text)
{
	return strchr(text, '%') != NULL;
}

static bool entry_is(const struct var_entry *entry, const char *name,
		     size_t len)
{
	return entry->name != NULL && strncmp(entry->name, name, len) == 0 &&
	       entry->name[len] == '\0';
}

/* The variable called key or, if that is 0, name. *source moves on to where it
 * is. */
static const struct var_entry *var_find(const struct var_source **source,
					char key, const char *name, size_t len)
{
	const struct var_entry *entry;

	for (; *source != NULL; *source = (*source)->next) {
		for (entry = (*source)->table; entry->key || entry->name;
		     entry++) {
			if (key != 0 ? entry->key == key :
				       entry_is(entry, name, len))
				return entry;
		}
	}
	return NULL;
}

static void var_put_entry(struct var_job *job, struct str *out,
			  const struct var_source *source,
			  const struct var_entry *entry)
{
	if (entry->value != NULL)
		str_puts(out, entry->value);
	else if (source->value != NULL && !job->checking)
		source->value(source, entry, out);
}

static int var_short(struct var_job *job, struct str *out, char key)
{
	const struct var_source *source = job->source;
	const struct var_entry *entry = var_find(&source, key, NULL, 0);

	if (entry != NULL)
		var_put_entry(job, out, source, entry);
	else if (key == '%')
		str_putc(out, '%');
	else
		return err_set(job->err, "unknown variable %%%c", key);
	return 0;
}

/* --- %{name} and %{function:arg} --- */

static bool name_is(const char *name, size_t len, const char *what)
{
	return strncmp(name, what, len) == 0 && what[len] == '\0';
}

/* The variables that are known everywhere: whether name was one. */
static bool var_builtin(struct var_job *job, struct str *out, const char *name,
			size_t len)
{
	const char *hostname = job->source->hostname;

	if (name_is(name, len, "pid"))
		str_printf(out, "%ld", (long)getpid());
	else if (name_is(name, len, "uid"))
		str_printf(out, "%lu", (unsigned long)geteuid());
	else if (name_is(name, len, "gid"))
		str_printf(out, "%lu", (unsigned long)getegid());
	else if (name_is(name, len, "hostname"))
		str_puts(out, hostname != NULL ? hostname : "");
	else
		return false;
	return true;
}

static int var_env(struct str *out, const char *name)
{
	const char *value = getenv(name);

	str_puts(out, value != NULL ? value : "");
	return 0;
}

static int var_source_func(struct var_job *job, struct str *out,
			   const char *name, const char *arg)
{
	const struct var_source *source = job->source;
	const struct var_func *func;

	for (; source != NULL; source = source->next) {
		func = source->funcs;
		while (func != NULL && func->name != NULL &&
		       strcmp(func->name, name) != 0)
			func++;
		if (func == NULL || func->name == NULL)
			continue;
		if (job->checking)
			return 0;
		return func->append(source, arg, out, job->err);
	}
	return err_set(job->err, "unknown variable %%{%s}", name);
}

/* Whether the name is that of %{if;…}. */
static bool name_is_if(const char *name, size_t len)
{
	return len >= 2 && strncasecmp(name, "if", 2) == 0 &&
	       (len == 2 || name[2] == ';' || name[2] == ':');
}

/* text is "name;options:arg", cut up here. */
static int var_func(struct var_job *job, struct str *out, char *text)
{
	char *arg = strchr(text, ':'), *options;
	int ret;

	if (name_is_if(text, strlen(text)))
		return var_if(job, out, text + 2);
	if (arg != NULL)
		*arg++ = '\0';
	else
		arg = text + strlen(text);
	if (strcmp(text, "env") == 0)
		return var_env(out, arg);
	options = strchr(text, ';');
	if (options != NULL)
		*options++ = '\0';
	else
		options = text + strlen(text);
	ret = var_hash(job, out, text, options, arg);
	if (ret != 0)
		return ret < 0 ? -1 : 0;
	return var_source_func(job, out, text, arg);
}

int var_job_long(struct var_job *job, struct str *out, const char *name,
		 size_t name_len)
{
	const struct var_source *source = job->source;
	const struct var_entry *entry = var_find(&source, 0, name, name_len);
	struct str text = STR_INIT;
	int ret;

	if (entry != NULL) {
		var_put_entry(job, out, source, entry);
		return 0;
	}
	if (var_builtin(job, out, name, name_len))
		return 0;
	if (name_len == 0)
		return err_set(job->err, "empty variable name %%{}");
	if (job->depth >= VAR_MAX_DEPTH)
		return err_set(job->err, "variables nested too deeply");
	str_append(&text, name, name_len);
	job->depth++;
	ret = var_func(job, out, text.data);
	job->depth--;
	str_free(&text);
	return ret;
}

/* --- %[<offset>.]<width><modifiers><variable> --- */

static int spec_number(const char **text, int *number_r, struct err *err)
{
	int number = 0;

	for (; **text >= '0' && **text <= '9'; (*text)++) {
		number = number * 10 + (**text - '0');
		if (number > VAR_MAX_NUMBER)
			return err_set(err, "a variable's offset or width is "
				       "over %d", VAR_MAX_NUMBER);
	}
	*number_r = number;
	return 0;
}

static bool spec_take(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

static int spec_parse(const char **text, struct var_spec *spec,
		      struct err *err)
{
	bool negative = spec_take(text, '-');

	*spec = (struct var_spec){ .zero_padding = spec_take(text, '0') };
	if (spec_number(text, &spec->width, err) < 0)
		return -1;
	if (spec_take(text, '.')) {
		spec->offset = negative ? -spec->width : spec->width;
		spec->zero_padding = spec_take(text, '0');
		negative = spec_take(text, '-');
		if (spec_number(text, &spec->width, err) < 0)
			return -1;
		if (negative)
			spec->width = -spec->width;
	}
	spec->modifiers = *text;
	while (spec->modifier_count < VAR_MAX_MODIFIERS &&
	       var_is_modifier(**text)) {
		spec->modifier_count++;
		(*text)++;
	}
	return 0;
}

/* The closing brace of what starts at text, just behind "%{"; NULL when there
 * is none. A backslash hides the character behind it. */
static const char *find_brace(const char *text)
{
	unsigned open = 1;

	for (; *text != '\0'; text++) {
		if (*text == '\\' && text[1] != '\0')
			text++;
		else if (*text == '{')
			open++;
		else if (*text == '}' && --open == 0)
			return text;
	}
	return NULL;
}

static bool spec_is_plain(const struct var_spec *spec)
{
	return spec->modifier_count == 0 && spec->offset == 0 &&
	       spec->width == 0;
}

/* A D at the end, which says what stands between the parts of a value, waits
 * until these are escaped. Whether there was one, which is taken off. */
static bool spec_take_dn(struct var_spec *spec)
{
	if (spec->modifier_count == 0 ||
	    spec->modifiers[spec->modifier_count - 1] != 'D' ||
	    spec->offset != 0 || spec->width != 0)
		return false;
	spec->modifier_count--;
	return true;
}

/* The value of the variable at *text: modified, and escaped last, so that no
 * escape sequence is cut in half. */
static int var_finish(struct var_job *job, struct str *out, size_t from,
		      struct var_spec *spec, bool is_if)
{
	bool escape = job->source->escape != NULL && !job->raw, dn;

	if (escape && is_if && !spec_is_plain(spec))
		return err_set(job->err, "%%{if} cannot be modified here");
	dn = escape && spec_take_dn(spec);
	if (!spec_is_plain(spec) && var_modify(out, from, spec, job->err) < 0)
		return -1;
	if (escape && !is_if && !job->checking &&
	    job->source->escape(out, from, job->err) < 0)
		return VAR_REFUSED;
	if (dn)
		var_modify_dn(out, from);
	return 0;
}

/* Expands the variable behind the % before *text, and moves behind it. */
static int var_one(struct var_job *job, struct str *out, const char **text)
{
	const char *name, *end;
	size_t from = out->len;
	struct var_spec spec;
	bool is_if = false;
	int ret;

	if (spec_parse(text, &spec, job->err) < 0)
		return -1;
	if (**text == '\0')
		return 0; /* Dovecot lets "50%" be, without the % */
	if (**text != '{') {
		ret = var_short(job, out, *(*text)++);
	} else {
		name = *text + 1;
		end = find_brace(name);
		if (end == NULL)
			return err_set(job->err, "missing } in %%{%s", name);
		*text = end + 1;
		is_if = name_is_if(name, (size_t)(end - name));
		ret = var_job_long(job, out, name, (size_t)(end - name));
	}
	return ret < 0 ? ret : var_finish(job, out, from, &spec, is_if);
}

const char *var_skip(const char *text, struct err *err)
{
	const char *end = text + 1;
	struct var_spec spec;

	if (spec_parse(&end, &spec, err) < 0)
		return NULL;
	if (*end != '{')
		return *end == '\0' ? end : end + 1;
	end = find_brace(end + 1);
	if (end != NULL)
		return end + 1;
	err_put(err, "missing } in %s", text);
	return NULL;
}

int var_job_expand(struct var_job *job, struct str *out, const char *text)
{
	const char *percent;
	int ret;

	while ((percent = strchr(text, '%')) != NULL) {
		str_append(out, text, (size_t)(percent - text));
		text = percent + 1;
		ret = var_one(job, out, &text);
		if (ret < 0)
			return ret;
	}
	str_puts(out, text);
	return 0;
}

int var_expand(struct str *out, const char *text,
	       const struct var_source *source, struct err *err)
{
	struct var_job job = { .source = source, .err = err };

	return var_job_expand(&job, out, text);
}

int var_sample(struct str *out, const char *text,
	       const struct var_source *source, struct err *err)
{
	struct var_job job = { .source = source, .err = err,
			       .checking = true };

	return var_job_expand(&job, out, text);
}

int var_check(const char *text, const struct var_source *source,
	      struct err *err)
{
	struct str out = STR_INIT;
	int ret = var_sample(&out, text, source, err);

	str_free(&out);
	return ret;
}
