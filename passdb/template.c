#include "passdb/template.h"

#include <string.h>

static int template_field(struct passdb_template_field *field,
			  struct arena *arena, const char *text, size_t len,
			  const struct var_source *vars, struct err *err)
{
	const char *equals = memchr(text, '=', len);
	size_t key_len = equals != NULL ? (size_t)(equals - text) : len;
	struct err why;

	if (key_len == 0)
		return err_set(err, "'%.*s' has no name before the '='",
			       (int)len, text);
	field->key = passdb_key_parse(arena,
				      arena_strndup(arena, text, key_len));
	field->value = equals == NULL ? "" :
		       arena_strndup(arena, equals + 1, len - key_len - 1);
	field->has_vars = var_used(field->value);
	if (field->has_vars && var_check(field->value, vars, &why) < 0)
		return err_set(err, "%s: %s", field->key.text, why.text);
	return 0;
}

static unsigned count_words(const char *text)
{
	unsigned count = 0;

	for (text += strspn(text, " "); *text != '\0';
	     text += strspn(text, " ")) {
		text += strcspn(text, " ");
		count++;
	}
	return count;
}

int passdb_template_parse(struct passdb_template *template,
			  struct arena *arena, const char *text,
			  const struct var_source *vars, struct err *err)
{
	unsigned count = count_words(text), i;

	template->count = count;
	template->fields = arena_alloc(arena,
				       count * sizeof(*template->fields));
	for (i = 0; i < count; i++) {
		size_t len;

		text += strspn(text, " ");
		len = strcspn(text, " ");
		if (template_field(&template->fields[i], arena, text, len,
				   vars, err) < 0)
			return -1;
		text += len;
	}
	return 0;
}
