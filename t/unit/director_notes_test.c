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
	cr_expect_not(director_notes_cut_off(notes, 0));
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
	director_notes_set_cut_off(notes, 2, true);
	cr_expect_not(director_notes_way(notes, 0, &back));
	cr_expect_not(director_notes_way(notes, 2, &back));
	cr_expect_not(director_notes_cut_off(notes, 1));
	cr_expect(director_notes_cut_off(notes, 2));
	director_notes_set_cut_off(notes, 2, false);
	cr_expect_not(director_notes_cut_off(notes, 2));
}

Test(director_notes, the_last_id_and_those_behind_it)
{
	const struct director_way way = { .port = 24 };
	struct director_way back;

	expect_back(DIRECTOR_NOTES - 1, &way);
	director_notes_set_way(notes, DIRECTOR_NOTES, &way);
	cr_expect_not(director_notes_way(notes, DIRECTOR_NOTES, &back));
	director_notes_set_cut_off(notes, UINT32_MAX, true);
	cr_expect_not(director_notes_cut_off(notes, UINT32_MAX));
}
