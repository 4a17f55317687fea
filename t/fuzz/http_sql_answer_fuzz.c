/* What a store answers: the first byte picks the dialect. */
#include <string.h>

#include "lib/mem.h"
#include "lib/panic.h"
#include "passdb/http_sql/answer.h"
#include "t/fuzz/fuzz.h"

static const struct http_sql_dialect *const dialects[] = {
	&http_sql_rqlite, &http_sql_libsql, &http_sql_clickhouse,
	&http_sql_neon, &http_sql_postgrest,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_sql_result result = { .arena = NULL };
	struct http_answer answer = { .status = 200 };
	struct err err = { "" };
	char *body;
	unsigned i;

	if (size == 0 || size > 65536)
		return 0;
	result.arena = arena_new(256);
	answer.len = size - 1;
	body = mem_strndup((const char *)data + 1, answer.len);
	memcpy(body, data + 1, answer.len); /* NULs too */
	answer.body = body;
	if (http_sql_answer_read(&answer, dialects[data[0] % 5], &result,
				 &err) < 0)
		ASSERT(err.text[0] != '\0');
	else
		ASSERT(result.rows > 0 || result.count == 0);
	for (i = 0; i < result.count; i++) {
		ASSERT(result.columns[i].name != NULL);
		ASSERT(result.columns[i].value != NULL);
	}
	mem_free(&body);
	arena_free(&result.arena);
	return 0;
}
