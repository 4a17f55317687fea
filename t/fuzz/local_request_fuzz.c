/* Requests of local delivery and their results: the first byte says which of the
 * two. What is accepted must be written back as it came. */
#include <string.h>

#include "backends/local/request.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

static void request(struct str *again, const uint8_t *data, size_t size)
{
	struct local_request request;
	struct err err;

	if (local_request_decode(&request, data, size, &err) < 0)
		return;
	ASSERT(local_request_encode(again, &request, &err) == 0);
	ASSERT(again->len == size && memcmp(again->data, data, size) == 0);
}

static void result(struct str *again, const uint8_t *data, size_t size)
{
	struct local_result result;
	struct err err;

	if (local_result_decode(&result, data, size, &err) < 0)
		return;
	local_result_encode(again, &result);
	ASSERT(again->len == size && memcmp(again->data, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str again = STR_INIT;

	if (size == 0 || size > 8192)
		return 0;
	if (data[0] == 'r')
		result(&again, data + 1, size - 1);
	else
		request(&again, data + 1, size - 1);
	str_free(&again);
	return 0;
}
