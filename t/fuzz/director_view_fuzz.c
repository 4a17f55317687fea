/* What routing follows from, as text of somebody else: a view of the cluster, or the
 * file of one node. What can be read is written as it was read, whatever was there
 * before; each user who was moved is where it says, and a server's way comes back from
 * the notes. */
#include <string.h>

#include "backends/director/notes.h"
#include "backends/director/view_json.h"
#include "lib/panic.h"
#include "proxy/director/director.h"
#include "t/fuzz/fuzz.h"

static void check_ways(const struct director_state *state)
{
	struct director_notes *notes = director_notes_new();
	uint32_t i;

	for (i = 0; i < state->count && i < DIRECTOR_NOTES; i++) {
		const struct director_way *way = &state->backends[i].server.way;
		struct director_way noted;

		ASSERT(!director_notes_way(notes, i, &noted));
		director_notes_set_way(notes, i, way);
		ASSERT(director_notes_way(notes, i, &noted));
		ASSERT(noted.port == way->port && noted.tls == way->tls &&
		       noted.protocol == way->protocol &&
		       noted.any_cert == way->any_cert);
		ASSERT(director_notes_reach(notes, i) == DIRECTOR_REACHED);
	}
	director_notes_free(&notes);
}

static bool takes_users(const struct director_backend *backend)
{
	return director_backend_present(backend) &&
	       backend->admin != DIRECTOR_DOWN && !backend->sick;
}

static void check_moved(const struct director_state *state)
{
	static const struct director_settings settings = {
		.username_hash = "%Lu", .hash = 1, .mail_servers = "",
	};
	struct err err;
	struct director *view = director_view(&settings, state, NULL, &err);
	unsigned i;

	ASSERT(view != NULL);
	for (i = 0; i < state->pins.count; i++) {
		const struct director_pin *pin = state->pins.list[i];

		ASSERT(i == 0 || state->pins.list[i - 1]->key < pin->key);
		ASSERT(pin->server < state->count && pin->user != NULL);
		if (takes_users(&state->backends[pin->server]))
			ASSERT(!director_is_elsewhere(view, pin->key, 0, "",
						      pin->server));
	}
	director_unref(&view);
}

/* Reads text into state, which may have had something before. */
static int read_text(struct director_state *state, const char *text, size_t len)
{
	struct err err = { "" };
	struct json *root = json_parse(text, len, &err);
	int ret = -1;

	if (root != NULL)
		ret = director_view_read(state, root, &err);
	json_close(&root);
	ASSERT((ret < 0) == (err.text[0] != '\0'));
	return ret;
}

/* Servers that are not there any more have places in the one, and not in the
 * other. */
static void check_again(const struct director_state *state)
{
	struct director_state again;
	struct str first = STR_INIT, second = STR_INIT;

	director_view_put(state, &first);
	director_state_copy(&again, state);
	director_state_clear(&again);
	ASSERT(read_text(&again, str_c(&first), first.len) == 0);
	director_view_put(&again, &second);
	ASSERT(strcmp(str_c(&first), str_c(&second)) == 0);
	director_state_free(&again);
	director_state_init(&again);
	ASSERT(read_text(&again, str_c(&first), first.len) == 0);
	str_clear(&second);
	director_view_put(&again, &second);
	ASSERT(strcmp(str_c(&first), str_c(&second)) == 0);
	director_state_free(&again);
	str_free(&first);
	str_free(&second);
}

static void check_view(const char *text, size_t len)
{
	struct director_state state;

	director_state_init(&state);
	if (read_text(&state, text, len) == 0) {
		check_moved(&state);
		check_ways(&state);
		check_again(&state);
	}
	director_state_free(&state);
}

static void check_file(const char *text, size_t len)
{
	struct director_state state, again;
	struct str first = STR_INIT, second = STR_INIT;
	struct err err = { "" };

	director_state_init(&state);
	director_state_init(&again);
	if (director_state_load(&state, text, len, &err) == 0) {
		check_moved(&state);
		director_state_save(&state, &first);
		ASSERT(director_state_load(&again, str_c(&first), first.len,
					   &err) == 0);
		director_state_save(&again, &second);
		ASSERT(strcmp(str_c(&first), str_c(&second)) == 0);
		director_state_expire(&state, UINT64_MAX);
		check_moved(&state);
	} else {
		ASSERT(err.text[0] != '\0');
	}
	director_state_free(&state);
	director_state_free(&again);
	str_free(&first);
	str_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 65536)
		return 0;
	check_view((const char *)data, size);
	check_file((const char *)data, size);
	return 0;
}
