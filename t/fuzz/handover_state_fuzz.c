/* What a supervisor hands over in the environment. What is accepted must be
 * written back as it came. */
#include <string.h>

#include "lib/panic.h"
#include "proxy/supervisor/handover_state.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct handover_state state;
	struct str text = STR_INIT, again = STR_INIT;
	struct err err;

	str_append(&text, data, size);
	if (handover_state_decode(&state, str_c(&text), &err) == 0) {
		handover_state_encode(&again, &state);
		ASSERT(strcmp(str_c(&again), str_c(&text)) == 0);
	}
	str_free(&text);
	str_free(&again);
	return 0;
}
