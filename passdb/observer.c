#include "passdb/observer.h"

#include "passdb/shared.h"

void passdb_observer_tell(const struct passdb_request *request,
			  enum passdb_event_type type, const char *name,
			  const char *text)
{
	const struct passdb_chain *chain =
		request->passdb != NULL ? passdb_request_chain(request) : NULL;
	const struct passdb_event event = {
		.type = type,
		.request = request,
		.block = chain != NULL && request->step < chain->count
				 ? chain->entries[request->step].block
				 : NULL,
		.name = name,
		.text = text,
	};

	request->observer->tell(request->observer, &event);
}

void passdb_observe_words(const struct passdb_request *request,
			  const char *name, const char *const *words)
{
	struct str text = STR_INIT;

	if (request->observer == NULL)
		return;
	for (; *words != NULL; words++) {
		if (text.len > 0)
			str_putc(&text, ' ');
		str_puts(&text, *words);
	}
	passdb_observer_tell(request, PASSDB_EVENT_ASKED, name, str_c(&text));
	str_free(&text);
}
