#include "passdb/http_sql/observe.h"

#include "lib/str.h"

static void put_query(struct str *out, const struct http_sql_query *query)
{
	unsigned i, number = 0;

	if (query->post != NULL) {
		str_puts(out, query->post);
		str_putc(out, ' ');
	}
	for (i = 0; i < query->count; i++) {
		if (query->pieces[i].param)
			str_printf(out, "?%u", ++number);
		else
			str_puts(out, query->pieces[i].text);
	}
}

void http_sql_observe(const struct passdb_request *request,
		      const struct http_sql_query *query,
		      const char *const *values)
{
	struct str text = STR_INIT;
	unsigned i;

	if (request->observer == NULL)
		return;
	put_query(&text, query);
	passdb_observer_tell(request, PASSDB_EVENT_ASKED, "query",
			     str_c(&text));
	for (i = 0; i < query->params; i++) {
		str_clear(&text);
		str_printf(&text, "?%u", i + 1);
		passdb_observer_tell(request, PASSDB_EVENT_ASKED, str_c(&text),
				     values[i]);
	}
	str_free(&text);
}
