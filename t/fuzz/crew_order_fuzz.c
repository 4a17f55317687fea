/* Orders for a crew. What is accepted must be written back as it came. */
#include <string.h>

#include "deliver/crew_order.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(512);
	struct str again = STR_INIT;
	struct crew_order order;
	struct err err;

	if (crew_order_decode(&order, arena, data, size, &err) == 0) {
		ASSERT(crew_order_encode(&again, &order, &err) == 0);
		ASSERT(again.len == size && memcmp(again.data, data, size) == 0);
	}
	str_free(&again);
	arena_free(&arena);
	return 0;
}
