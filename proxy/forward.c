#include "proxy/forward.h"

#include <string.h>

#include "lib/smtp/forward.h"

#define PREFIX "forward_"
#define PREFIX_LEN (sizeof(PREFIX) - 1)

int forward_read(struct arena *arena, const struct smtp_rcpt_params *params,
		 struct passdb_fields *fields_r, struct err *err)
{
	struct smtp_forward forward;
	struct err why;
	size_t i;

	*fields_r = (struct passdb_fields){ NULL, 0, 0 };
	if (params->xrcptforward == NULL)
		return 0;
	if (smtp_forward_parse(arena, params->xrcptforward, &forward, &why) < 0)
		return err_set(err, "Invalid XRCPTFORWARD= parameter: %.200s",
			       why.text);
	for (i = 0; i < forward.count; i++) {
		const struct smtp_forward_field *field = &forward.fields[i];

		passdb_fields_put(fields_r, arena,
				  arena_concat(arena, PREFIX, field->key, ""),
				  field->value != NULL ? field->value : "",
				  false);
	}
	return 0;
}

static bool is_forwarded(const struct passdb_field *field)
{
	return field->key[0] == PREFIX[0] &&
	       strncmp(field->key, PREFIX, PREFIX_LEN) == 0;
}

/* Returns how many fields were put into list (NULL: none). */
static size_t forward_collect(const struct passdb_fields *fields,
			      struct smtp_forward_field *list)
{
	size_t count = 0;
	unsigned i;

	for (i = 0; i < fields->count; i++) {
		const struct passdb_field *field = &fields->list[i];

		if (!is_forwarded(field))
			continue;
		if (list != NULL)
			list[count] = (struct smtp_forward_field){
				field->key + PREFIX_LEN, field->value
			};
		count++;
	}
	return count;
}

int forward_write(struct arena *arena, const struct passdb_fields *fields,
		  struct smtp_rcpt_params *params, struct err *err)
{
	struct smtp_forward forward;
	struct str out = STR_INIT;
	int ret;

	params->xrcptforward = NULL;
	forward.count = forward_collect(fields, NULL);
	if (forward.count == 0)
		return 0;
	forward.fields =
		arena_alloc(arena, forward.count * sizeof(*forward.fields));
	forward_collect(fields, forward.fields);
	ret = smtp_forward_write(&out, &forward, err);
	if (ret == 0)
		params->xrcptforward = arena_strdup(arena, str_c(&out));
	str_free(&out);
	return ret;
}
