/* A lookup watched step by step (waypost -l): what the chain and its drivers do
 * is told to whoever wants to know. A lookup that nobody watches pays for a look
 * at a pointer. */
#ifndef PASSDB_OBSERVER_H
#define PASSDB_OBSERVER_H

#include "passdb/passdb.h"

enum passdb_event_type {
	/* It is the turn of a passdb. text: why it is not asked, or NULL. */
	PASSDB_EVENT_STEP,
	/* A part of what it is asked: name and text. */
	PASSDB_EVENT_ASKED,
	/* Whose fields come next: name is a setting of the passdb, or NULL for
	 * its answer, of which text then is the place (or NULL). */
	PASSDB_EVENT_SOURCE,
	/* A field as it was given: name, with its suffix, and text. */
	PASSDB_EVENT_FIELD,
	/* text: trouble, or what is worth knowing. It is not logged. */
	PASSDB_EVENT_NOTE,
	/* text: what the passdb says in the end; name: what that means for the
	 * chain. The request has the fields and the name that count now. */
	PASSDB_EVENT_ANSWER,
};

/* Texts are as they come, secrets included, and valid for the call. */
struct passdb_event {
	enum passdb_event_type type;
	const struct passdb_request *request;
	const struct passdb_block *block; /* of the step, if there was one */
	const char *name, *text;
};

struct passdb_observer {
	void (*tell)(struct passdb_observer *observer,
		     const struct passdb_event *event);
};

/* Tells the observer, which there must be. */
void passdb_observer_tell(const struct passdb_request *request,
			  enum passdb_event_type type, const char *name,
			  const char *text);

/* Tells the observer if there is one. */
static inline void passdb_observe(const struct passdb_request *request,
				  enum passdb_event_type type,
				  const char *name, const char *text)
{
	if (request->observer != NULL)
		passdb_observer_tell(request, type, name, text);
}

/* The same for PASSDB_EVENT_ASKED with words, NULL at the end. */
void passdb_observe_words(const struct passdb_request *request,
			  const char *name, const char *const *words);

#endif
