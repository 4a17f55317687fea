/* What a process finds out about servers by itself. */
#include <criterion/criterion.h>

#include "backends/director/notes.h"

static struct director_notes *notes;

static void setup(void)
{
	notes = director_notes_new();
}

static void teardown(void)
{
	director_notes_free(&notes);
}

TestSuite(director_notes, .init = setup, .fini = teardown);

Test(director_notes, nothing_at_first)
{
	struct director_way way;

	cr_expect_not(director_notes_way(notes, 0, &way));
	cr_expect_eq(director_notes_reach(notes, 0), DIRECTOR_REACHED);
}

static void expect_back(uint32_t id, const struct director_way *way)
{
	struct director_way back;

	director_notes_set_way(notes, id, way);
	cr_assert(director_notes_way(notes, id, &back));
	cr_expect_eq(back.port, way->port);
	cr_expect_eq(back.protocol, way->protocol);
	cr_expect_eq(back.tls, way->tls);
	cr_expect_eq(back.any_cert, way->any_cert);
	cr_expect(back.has_protocol && back.has_tls);
}

Test(director_notes, every_way_comes_back)
{
	static const uint16_t ports[] = { 0, 1, 24, 65535 };
	struct director_way way;
	unsigned i;

	for (i = 0; i < 48; i++) {
		way = (struct director_way){
			.port = ports[i % 4],
			.protocol = i / 4 % 2 ? REMOTE_SMTP : REMOTE_LMTP,
			.tls = (enum remote_tls)(i / 8 % 3),
			.any_cert = i / 24,
		};
		expect_back(i % 5, &way);
	}
}

Test(director_notes, servers_do_not_disturb_each_other)
{
	const struct director_way way = { .port = 24 };
	struct director_way back;

	director_notes_set_way(notes, 1, &way);
	director_notes_set_reach(notes, 2, DIRECTOR_DOUBTED);
	cr_expect_not(director_notes_way(notes, 0, &back));
	cr_expect_not(director_notes_way(notes, 2, &back));
	cr_expect_eq(director_notes_reach(notes, 1), DIRECTOR_REACHED);
	cr_expect_eq(director_notes_reach(notes, 2), DIRECTOR_DOUBTED);
	director_notes_set_reach(notes, 2, DIRECTOR_REACHED);
	cr_expect_eq(director_notes_reach(notes, 2), DIRECTOR_REACHED);
}

Test(director_notes, the_last_id_and_those_behind_it)
{
	const struct director_way way = { .port = 24 };
	struct director_way back;

	expect_back(DIRECTOR_NOTES - 1, &way);
	director_notes_set_way(notes, DIRECTOR_NOTES, &way);
	cr_expect_not(director_notes_way(notes, DIRECTOR_NOTES, &back));
	director_notes_set_reach(notes, UINT32_MAX, DIRECTOR_CUT_OFF);
	cr_expect_eq(director_notes_reach(notes, UINT32_MAX), DIRECTOR_REACHED);
}

Test(director_notes, nobody_is_held_whom_nobody_watches)
{
	cr_expect_not(director_notes_holds(notes, 1000000));
}

Test(director_notes, who_has_slept_holds)
{
	director_notes_watch(notes, 1000);
	cr_expect_not(director_notes_holds(notes, 1000 + DIRECTOR_SLEEP_MS));
	cr_expect(director_notes_holds(notes, 1001 + DIRECTOR_SLEEP_MS));
	director_notes_hold(notes, true);
	director_notes_watch(notes, 5000);
	cr_expect(director_notes_holds(notes, 5001));
	director_notes_hold(notes, false);
	cr_expect_not(director_notes_holds(notes, 5001));
	director_notes_watch(notes, 0);
	cr_expect_not(director_notes_holds(notes, 500000));
}
