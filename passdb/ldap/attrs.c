#include "passdb/ldap/attrs.h"

#include <string.h>
#include <strings.h>

#include "lib/ascii.h"
#include "lib/mem.h"
#include "passdb/shared.h"

/* --- values of variables --- */

/* A template being expanded. */
struct ldap_expansion {
	const struct ldap_found *found;
	const char *value; /* %$ */
};

enum { VAR_VALUE, VAR_DN };

static const struct var_entry ldap_table[] = {
	{ '$', NULL, NULL, VAR_VALUE },
	{ 0, "ldap_dn", NULL, VAR_DN },
	{ 0, NULL, NULL, 0 },
};

const char *const *ldap_found_values(const struct ldap_found *found,
				     const char *name, size_t len)
{
	const char *at = memchr(name, '@', len);
	size_t attr_len = at != NULL ? (size_t)(at - name) : len;
	const char *pointer = at != NULL ? at + 1 : "";
	size_t pointer_len = at != NULL ? len - attr_len - 1 : 0;
	unsigned i;

	for (i = 0; i < found->attrs->entry_count; i++) {
		const char *other = found->attrs->entries[i].name;

		if (strncmp(other, pointer, pointer_len) != 0 ||
		    other[pointer_len] != '\0')
			continue;
		return found->entries[i] == NULL ? NULL :
		       ldap_entry_values(found->entries[i], name, attr_len);
	}
	return NULL;
}

static void put_variable(const struct var_source *source,
			 const struct var_entry *entry, struct str *out)
{
	const struct ldap_expansion *expansion = source->context;

	if (entry->id == VAR_DN)
		str_puts(out, expansion->found->entries[0]->dn);
	else
		str_puts(out, expansion->value);
}

/* The attribute's first value, of "attr:default". */
static const char *first_value(const struct var_source *source, const char *arg)
{
	const struct ldap_expansion *expansion = source->context;
	size_t len = strcspn(arg, ":");
	const char *const *values =
		ldap_found_values(expansion->found, arg, len);

	if (values != NULL)
		return values[0];
	return arg + len + (arg[len] == ':');
}

static int put_ldap(const struct var_source *source, const char *arg,
		    struct str *out, struct err *err)
{
	(void)err;
	str_puts(out, first_value(source, arg));
	return 0;
}

/* As in Dovecot, a default is the name of an attribute, too, and what names one may have
 * a default for it. */
static int put_pointed(const struct var_source *source, const char *arg,
		       struct str *out, struct err *err)
{
	return put_ldap(source, first_value(source, arg), out, err);
}

/* "attr:separator:default". No separator: a space; "::" at the place of the
 * separator: a colon. */
static int put_multi(const struct var_source *source, const char *arg,
		     struct str *out, struct err *err)
{
	const struct ldap_expansion *expansion = source->context;
	size_t len = strcspn(arg, ":"), separator_len;
	const char *separator = arg + len + (arg[len] == ':'), *rest;
	const char *const *values =
		ldap_found_values(expansion->found, arg, len);
	unsigned i;

	(void)err;
	separator_len = strncmp(separator, "::", 2) == 0 ||
			strcmp(separator, ":") == 0 ? 1 :
			strcspn(separator, ":");
	rest = separator + separator_len;
	for (i = 0; values != NULL && values[i] != NULL; i++) {
		if (i > 0 && separator_len > 0)
			str_append(out, separator, separator_len);
		else if (i > 0)
			str_putc(out, ' ');
		str_puts(out, values[i]);
	}
	if (values == NULL && *rest == ':')
		str_puts(out, rest + 1);
	return 0;
}

static const struct var_func ldap_funcs[] = {
	{ "ldap", put_ldap },
	{ "ldap_multi", put_multi },
	{ "ldap_ptr", put_pointed },
	{ NULL, NULL },
};

static struct var_source ldap_vars(const struct ldap_expansion *expansion,
				   const struct var_source *next)
{
	return (struct var_source){
		.table = ldap_table, .funcs = ldap_funcs,
		.value = put_variable, .context = expansion,
		.hostname = next->hostname, .next = next,
	};
}

/* --- reading --- */

struct attrs_parser {
	struct ldap_attrs *attrs;
	struct arena *arena;
	const struct var_source *vars;
	unsigned wanted[LDAP_MAX_POINTERS + 1]; /* names in entries[].wanted */
	unsigned room; /* for them, each */
	struct err *err;
};

/* An attribute's name, perhaps with options (RFC 4512 2.5), or an OID. */
static bool is_attribute(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (!ascii_is_alnum(name[i]) && strchr("-.;_", name[i]) == NULL)
			return false;
	}
	return len > 0;
}

/* Asks for "attr" or "attr@name". */
static int want(struct attrs_parser *parser, const char *name, size_t len)
{
	const char *at = memchr(name, '@', len);
	size_t attr_len = at != NULL ? (size_t)(at - name) : len;
	const char *pointer = at != NULL ? at + 1 : "";
	size_t pointer_len = at != NULL ? len - attr_len - 1 : 0;
	const char **list;
	unsigned i, j;

	if (!is_attribute(name, attr_len))
		return err_set(parser->err, "'%.*s' is not the name of an "
			       "attribute", (int)len, name);
	for (i = 0; i < parser->attrs->entry_count; i++) {
		if (strlen(parser->attrs->entries[i].name) == pointer_len &&
		    memcmp(parser->attrs->entries[i].name, pointer,
			   pointer_len) == 0)
			break;
	}
	if (i == parser->attrs->entry_count)
		return err_set(parser->err, "%.*s: there is no @%.*s before "
			       "it", (int)len, name, (int)pointer_len, pointer);
	list = (const char **)parser->attrs->entries[i].wanted;
	for (j = 0; j < parser->wanted[i]; j++) {
		if (strncasecmp(list[j], name, attr_len) == 0 &&
		    list[j][attr_len] == '\0')
			return 0;
	}
	ASSERT(parser->wanted[i] < parser->room);
	list[parser->wanted[i]++] = arena_strndup(parser->arena, name,
						  attr_len);
	return 0;
}

/* Asks for what %{ldap:…} and the like in a template name. */
static int want_template(struct attrs_parser *parser, const char *template)
{
	static const char *const starts[] = {
		"{ldap:", "{ldap_multi:", "{ldap_ptr:",
	};
	struct err why;
	size_t i;

	if (var_check(template, parser->vars, &why) < 0)
		return err_set(parser->err, "%s: %s", template, why.text);
	for (; (template = strchr(template, '{')) != NULL; template++) {
		for (i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
			size_t len = strlen(starts[i]);

			if (strncmp(template, starts[i], len) == 0 &&
			    want(parser, template + len,
				 strcspn(template + len, ":}")) < 0)
				return -1;
		}
	}
	return 0;
}

static struct ldap_pointer *add_entry(struct attrs_parser *parser,
				      const char *name, const char *attribute)
{
	struct ldap_pointer *entry =
		&parser->attrs->entries[parser->attrs->entry_count++];

	entry->name = name;
	entry->attribute = attribute;
	entry->wanted = arena_alloc(parser->arena, (parser->room + 1) *
						   sizeof(*entry->wanted));
	return entry;
}

/* "name=attr", behind the @. */
static int parse_pointer(struct attrs_parser *parser, char *text)
{
	static const char start[] = "%{ldap:";
	char *equals = strchr(text, '=');
	char *attribute = equals != NULL ? equals + 1 : NULL;
	size_t len = equals != NULL ? strlen(attribute) : 0;

	if (equals == NULL || equals == text)
		return err_set(parser->err, "@%s is not @name=attribute", text);
	*equals = '\0';
	if (strncmp(attribute, start, strlen(start)) == 0 &&
	    attribute[len - 1] == '}') {
		attribute[len - 1] = '\0';
		attribute += strlen(start);
	}
	if (want(parser, attribute, strlen(attribute)) < 0)
		return -1;
	if (parser->attrs->entry_count > LDAP_MAX_POINTERS)
		return err_set(parser->err, "more than %d of @name",
			       LDAP_MAX_POINTERS);
	add_entry(parser, text, attribute);
	return 0;
}

/* Passwords are not checked: servers need not send them. */
static bool is_password(const struct passdb_key *key)
{
	return strcmp(key->name, "password") == 0 ||
	       strcmp(key->name, "password_noscheme") == 0;
}

/* The value stands behind mere text, as in Dovecot. */
static const char *with_value(struct arena *arena, const char *template)
{
	return strchr(template, '%') != NULL ? template :
	       arena_concat(arena, template, "%$", "");
}

/* "attr", "attr=field", "attr=field=template", "=field=template". */
static int parse_field(struct attrs_parser *parser, char *text)
{
	struct ldap_field *field =
		&parser->attrs->fields[parser->attrs->field_count];
	char *name = strchr(text, '='), *template = NULL;

	if (name != NULL)
		*name++ = '\0';
	else
		name = text;
	template = strchr(name, '=');
	if (template != NULL)
		*template++ = '\0';
	if (*name == '\0')
		return err_set(parser->err, "'%s=' names no field", text);
	field->key = passdb_key_parse(parser->arena, name);
	if (field->key.name[0] == '\0')
		return err_set(parser->err, "'%s' names no field", name);
	if (is_password(&field->key))
		return 0;
	field->attribute = *text != '\0' ? text : NULL;
	if (template == NULL && *text == '\0')
		template = "";
	field->template = field->attribute == NULL || template == NULL ? template :
			  with_value(parser->arena, template);
	if (field->attribute != NULL &&
	    want(parser, text, strlen(text)) < 0)
		return -1;
	parser->attrs->field_count++;
	return field->template == NULL ? 0 :
	       want_template(parser, field->template);
}

static int parse_one(struct attrs_parser *parser, char *text)
{
	size_t len;

	text += strspn(text, " \t");
	len = strlen(text);
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		text[--len] = '\0';
	if (*text == '\0')
		return 0;
	if (*text == '@')
		return parse_pointer(parser, text + 1);
	if (*text == '!')
		return want(parser, text + 1, len - 1);
	return parse_field(parser, text);
}

/* The comma that ends what starts at text, or the end. */
static char *find_end(char *text)
{
	unsigned open = 0;

	for (; *text != '\0' && (*text != ',' || open > 0); text++) {
		if (*text == '{')
			open++;
		else if (*text == '}' && open > 0)
			open--;
	}
	return text;
}

static unsigned count_char(const char *text, char c)
{
	unsigned count = 0;

	for (; *text != '\0'; text++)
		count += *text == c;
	return count;
}

int ldap_attrs_parse(struct ldap_attrs *attrs, struct arena *arena,
		     const char *text, const struct var_source *vars,
		     struct err *err)
{
	const struct var_source all = ldap_vars(NULL, vars);
	unsigned items = count_char(text, ',') + 1;
	struct attrs_parser parser = {
		.attrs = attrs, .arena = arena, .vars = &all, .err = err,
		/* Each is named once in an item, or by a template. */
		.room = items + count_char(text, '{'),
	};
	char *item = arena_strdup(arena, text), *end;
	bool more = true;

	memset(attrs, 0, sizeof(*attrs));
	attrs->fields = arena_alloc(arena, items * sizeof(*attrs->fields));
	add_entry(&parser, "", NULL);
	for (; more; item = end + 1) {
		end = find_end(item);
		more = *end != '\0';
		*end = '\0';
		if (parse_one(&parser, item) < 0)
			return -1;
	}
	return 0;
}

/* --- using it --- */

/* Parts a value from what follows. */
static int end_value(struct str *out, size_t from, struct err *err)
{
	(void)from;
	(void)err;
	str_putc(out, '\0');
	return 0;
}

int ldap_attrs_put_key(const struct ldap_attrs *attrs,
		       const struct passdb_request *request, struct str *key)
{
	static const struct ldap_entry nobody = { .dn = "" };
	const struct ldap_found found = { attrs, { &nobody } };
	const struct ldap_expansion expansion = { &found, "" };
	const struct var_source vars = passdb_request_vars(
		request, request->passdb->shared->settings->hostname);
	struct var_source all = ldap_vars(&expansion, &vars);
	struct err err;
	unsigned i;

	all.escape = end_value;
	for (i = 0; i < attrs->field_count; i++) {
		const char *template = attrs->fields[i].template;

		if (template != NULL &&
		    var_expand(key, template, &all, &err) < 0)
			return -1;
	}
	return 0;
}

static int put_field(const struct ldap_field *field,
		     const struct ldap_found *found,
		     const struct var_source *vars,
		     struct passdb_request *request, struct err *err)
{
	const char *const *values = NULL;
	struct ldap_expansion expansion = { found, "" };
	const struct var_source all = ldap_vars(&expansion, vars);

	if (field->attribute != NULL) {
		values = ldap_found_values(found, field->attribute,
					   strlen(field->attribute));
		if (values == NULL)
			return 0;
		expansion.value = values[0];
		if (values[1] != NULL) /* which may be secret */
			passdb_request_info(request, "%s has several values, "
					    "of which the first is taken",
					    field->attribute);
	}
	if (field->template != NULL)
		return passdb_request_expand_vars(request, &field->key,
						  field->template, &all, err);
	return passdb_request_put(request, &field->key, values[0], err);
}

int ldap_attrs_put(const struct ldap_attrs *attrs,
		   const struct ldap_found *found,
		   struct passdb_request *request, struct err *err)
{
	const struct var_source vars = passdb_request_vars(
		request, request->passdb->shared->settings->hostname);
	unsigned i;

	for (i = 0; i < attrs->field_count; i++) {
		if (put_field(&attrs->fields[i], found, &vars, request,
			      err) < 0)
			return -1;
	}
	return 0;
}
