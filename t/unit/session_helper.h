/* What tests of whole sessions share: a world, what the client says and
 * expects, and a backend that goes wrong at one stage. Included by one .c file
 * per program. */
#ifndef SESSION_HELPER_H
#define SESSION_HELPER_H

#include <criterion/criterion.h>
#include <string.h>

#include "t/session_world.h"

#define WAIT_MS 5000

static struct world world;

static inline void setup(void)
{
	world_open(&world);
	world_connect(&world);
}

static void teardown(void)
{
	world_close(&world);
}

static void say(const char *text)
{
	world_send(&world, text, strlen(text));
}

static void expect(const char *text)
{
	cr_assert(world_run(&world, text, WAIT_MS), "\"%s\" not in:\n%s", text,
		  str_c(&world.replies));
}

static inline void expect_closed(void)
{
	cr_assert(world_run(&world, NULL, WAIT_MS), "still open:\n%s",
		  str_c(&world.replies));
}

static inline unsigned count(const struct str *str, const char *text)
{
	const char *p = str_c(str);
	unsigned n = 0;

	while ((p = strstr(p, text)) != NULL) {
		p += strlen(text);
		n++;
	}
	return n;
}

/* The answer of one stage, replaced; all others stay good. */
struct misbehaviour {
	enum world_stage stage;
	const char *text;
	unsigned times; /* 0: always */
};

static inline const char *misbehave(struct world *w, enum world_stage stage)
{
	struct misbehaviour *bad = w->owner;

	if (stage != bad->stage)
		return world_good_answer(w, stage);
	if (bad->times > 0 && --bad->times == 0)
		bad->stage = WORLD_STAGES;
	return bad->text;
}

static inline void backend_does(struct misbehaviour *bad)
{
	world.owner = bad;
	world.answer = misbehave;
}

#define ENVELOPE "MAIL FROM:<a@b>\r\nRCPT TO:<joe@x>\r\n"
#define MESSAGE "Subject: hi\r\n\r\nhello\r\n.\r\n"

static inline void wait_ms(unsigned ms)
{
	world_run(&world, "nothing like this", ms);
}

#endif
