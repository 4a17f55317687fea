/* What is known of the director's servers, and what follows. */
#include <criterion/criterion.h>

#include <string.h>

#include "proxy/director/director.h"
#include "t/unit/director_helper.h"

static struct arena *arena;
static struct director_state state;
static struct err err;

static const struct director_settings settings = {
	.username_hash = "%Lu",
};

static void start(void)
{
	arena = arena_new(1024);
	director_state_init(&state);
	director_state_configure(&state,
				 servers_of(arena, "10.0.0.1-10.0.0.3 "
						   "10.1.0.1*50@x"));
}

static void end(void)
{
	director_state_free(&state);
	arena_free(&arena);
}

TestSuite(director_state, .init = start, .fini = end);

static struct director_backend *named(const char *name)
{
	struct director_backend *backend =
		director_state_find(&state, name, &err);

	cr_assert_not_null(backend, "%s", err.text);
	return backend;
}

static const char *whom(const char *user, const char *tag)
{
	struct director *view = director_view(&settings, &state, NULL, &err);
	struct director_choice choice;
	const char *ip = NULL;

	cr_assert_not_null(view);
	cr_expect_eq(director_generation(view), state.generation);
	if (director_choose(view, arena, user, tag, &choice, &err) == 0)
		ip = arena_strdup(arena, choice.server->ip);
	director_unref(&view);
	return ip;
}

/* What the servers get of a thousand users, as "1: 333, 2: 333, 3: 334". */
static unsigned share(const char *ip)
{
	struct director *view = director_view(&settings, &state, NULL, &err);
	struct director_choice choice;
	unsigned i, count = 0;

	for (i = 0; i < 1000; i++) {
		if (director_choose(view, arena,
				    arena_printf(arena, "user%u", i), "",
				    &choice, &err) == 0 &&
		    strcmp(choice.server->ip, ip) == 0)
			count++;
	}
	director_unref(&view);
	return count;
}

Test(director_state, what_administrators_want)
{
	cr_expect_gt(share("10.0.0.1"), 200);
	director_state_set_admin(&state, named("10.0.0.1"), DIRECTOR_DRAIN,
				 "joe", 5);
	cr_expect_eq(share("10.0.0.1"), 0);
	director_state_set_admin(&state, named("10.0.0.1"), DIRECTOR_DOWN,
				 "joe", 6);
	cr_expect_eq(share("10.0.0.1"), 0);
	director_state_set_admin(&state, named("10.0.0.1"), DIRECTOR_UP, "joe",
				 7);
	cr_expect_gt(share("10.0.0.1"), 200);
}

Test(director_state, facts_do_not_overwrite_each_other)
{
	struct director_backend *backend = named("10.0.0.1");

	director_state_set_weight(&state, backend, 1, "joe", 1);
	director_state_set_health(&state, backend, true, "no answer", 2);
	director_state_set_admin(&state, backend, DIRECTOR_DRAIN, "ann", 3);
	director_state_set_health(&state, backend, false, "greeting", 4);
	cr_expect_eq(share("10.0.0.1"), 0);
	director_state_set_admin(&state, backend, DIRECTOR_UP, "ann", 5);
	cr_expect_eq(director_backend_weight(backend), 1);
	cr_expect_str_eq(backend->weight_mark.by, "joe");
	cr_expect_leq(share("10.0.0.1"), 30);
	director_state_set_health(&state, backend, true, "no answer", 6);
	cr_expect_eq(share("10.0.0.1"), 0);
	cr_expect_eq(backend->admin, DIRECTOR_UP);
}

Test(director_state, holds)
{
	struct director_backend *backend = named("10.0.0.2");
	uint32_t id = backend->server.id;
	static const struct {
		enum director_admin admin;
		bool sick;
		enum director_hold hold;
	} cases[] = {
		{ DIRECTOR_UP, false, DIRECTOR_KEEPS },
		{ DIRECTOR_DRAIN, false, DIRECTOR_KEEPS },
		{ DIRECTOR_DOWN, false, DIRECTOR_LETS_GO },
		{ DIRECTOR_UP, true, DIRECTOR_LOST },
		{ DIRECTOR_DRAIN, true, DIRECTOR_LOST },
		{ DIRECTOR_DOWN, true, DIRECTOR_LOST },
	};
	struct director_rules rules;
	struct director *view;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		director_state_set_admin(&state, backend, cases[i].admin, "", 1);
		director_state_set_health(&state, backend, cases[i].sick, "",
					  1);
		view = director_view(&settings, &state, NULL, &err);
		rules = director_rules(view);
		cr_expect_eq(rules.hold(rules.arg, id), cases[i].hold, "%zu",
			     i);
		cr_expect_eq(rules.hold(rules.arg, 99), DIRECTOR_UNKNOWN);
		director_unref(&view);
	}
	director_state_set_health(&state, backend, false, "", 2);
	director_state_remove(&state, backend, "joe", 3);
	view = director_view(&settings, &state, NULL, &err);
	rules = director_rules(view);
	cr_expect_eq(rules.hold(rules.arg, id), DIRECTOR_LETS_GO);
	director_unref(&view);
}

Test(director_state, adding_and_removing)
{
	cr_expect_not_null(director_state_add(&state, "10.0.0.9*300", "joe", 1,
					      &err));
	cr_expect_gt(share("10.0.0.9"), 400);
	director_state_remove(&state, named("10.0.0.9"), "joe", 2);
	cr_expect_eq(share("10.0.0.9"), 0);
	director_state_remove(&state, named("10.0.0.1"), "joe", 3);
	cr_expect_eq(share("10.0.0.1"), 0);
	cr_expect_null(director_state_find(&state, "10.0.0.1", &err));
	/* The configuration says so still, and was heard. */
	director_state_configure(&state, servers_of(arena, "10.0.0.1 "
							   "10.0.0.2"));
	cr_expect_eq(share("10.0.0.1"), 0);
	cr_expect_null(director_state_find(&state, "10.0.0.3", &err));
	cr_expect_not_null(director_state_add(&state, "10.0.0.1", "joe", 4,
					      &err));
	cr_expect_gt(share("10.0.0.1"), 300);
}

Test(director_state, what_is_configured_stays_when_it_is_added)
{
	struct director_server server = {
		.ip = "10.0.0.77",
		.name = "seven",
		.tag = "",
		.weight = 10,
		.way = { .port = 2525, .has_protocol = true },
	};
	const struct director_servers servers = { &server, 1 };
	struct director_backend *backend;

	cr_assert_eq(addr_parse_ip(&server.addr, server.ip, 0), 0);
	director_state_configure(&state, &servers);
	director_state_remove(&state, named("10.0.0.77"), "joe", 1);
	backend = director_state_add(&state, "10.0.0.77", "joe", 2, &err);
	cr_assert_not_null(backend);
	cr_expect_eq(backend->server.way.port, 2525);
	cr_expect(backend->server.way.has_protocol);
	cr_expect_str_eq(backend->server.name, "seven");
	cr_expect_eq(director_backend_weight(backend), 10);
	director_state_add(&state, "10.0.0.77*50", "joe", 3, &err);
	director_state_configure(&state, &servers);
	cr_expect_eq(director_backend_weight(backend), 50);
}

Test(director_state, what_cannot_be_added)
{
	static const char *const entries[] = {
		"", "10.0.0.1-10.0.0.2", "10.0.0.1 10.0.0.2", "mail.example",
		"10.0.0.7*1001",
	};
	uint64_t generation = state.generation;
	size_t i;

	for (i = 0; i < sizeof(entries) / sizeof(*entries); i++)
		cr_expect_null(director_state_add(&state, entries[i], "joe", 1,
						  &err), "%s", entries[i]);
	cr_expect_eq(state.generation, generation);
}

/* More would not fit into a view. */
Test(director_state, so_many_servers_can_be_there)
{
	struct str text = STR_INIT;
	unsigned i;

	for (i = 0; i < DIRECTOR_MAX_SERVERS / 256; i++)
		str_printf(&text, "10.1.%u.0-10.1.%u.255 ", i, i);
	director_state_configure(&state, servers_of(arena, str_c(&text)));
	cr_expect_null(director_state_add(&state, "10.0.0.9", "joe", 1, &err));
	cr_expect_not_null(strstr(err.text, "more cannot be"), "%s", err.text);
	cr_expect_null(director_state_find(&state, "10.0.0.9", &err));
	cr_expect_not_null(director_state_add(&state, "10.1.0.9*7", "joe", 1,
					      &err));
	director_state_remove(&state, named("10.1.0.8"), "joe", 2);
	cr_expect_not_null(director_state_add(&state, "10.0.0.9", "joe", 3,
					      &err));
	str_free(&text);
}

Test(director_state, servers_of_one_address_have_a_tag)
{
	director_state_add(&state, "10.0.0.1@y", "joe", 1, &err);
	cr_expect_null(director_state_find(&state, "10.0.0.1", &err));
	cr_expect_not_null(strstr(err.text, "ADDRESS@TAG"));
	cr_expect_str_eq(named("10.0.0.1@y")->server.tag, "y");
	cr_expect_str_eq(named("10.0.0.1@")->server.tag, "");
	cr_expect_null(director_state_find(&state, "10.0.0.1@z", &err));
}

Test(director_state, users_moved_by_hand)
{
	struct director *view = director_view(&settings, &state, NULL, &err);
	struct director_choice choice;
	const char *other;
	uint64_t next_s;

	cr_assert_eq(director_choose(view, arena, "joe", "", &choice, &err),
		     0);
	other = strcmp(choice.server->ip, "10.0.0.1") == 0 ? "10.0.0.2"
							   : "10.0.0.1";
	director_unref(&view);
	director_state_pin(&state, choice.key, "joe", named(other), 100, "ann",
			   50);
	cr_expect_str_eq(whom("joe", ""), other);
	/* Where nobody can go, nobody is. */
	director_state_set_admin(&state, named(other), DIRECTOR_DOWN, "", 1);
	cr_expect_str_neq(whom("joe", ""), other);
	director_state_set_admin(&state, named(other), DIRECTOR_DRAIN, "", 1);
	cr_expect_str_eq(whom("joe", ""), other);
	cr_expect(!director_state_expire(&state, 99));
	next_s = director_state_next_expiry(&state);
	cr_expect_eq(next_s, 100);
	cr_expect(director_state_expire(&state, 100));
	next_s = director_state_next_expiry(&state);
	cr_expect_eq(next_s, 0);
	cr_expect_str_neq(whom("joe", ""), other);
	cr_expect(!director_state_unpin(&state, choice.key));
}

/* --- the file --- */

static char *saved(const struct director_state *of)
{
	struct str text = STR_INIT;
	char *copy;

	director_state_save(of, &text);
	copy = arena_strdup(arena, str_c(&text));
	str_free(&text);
	return copy;
}

static void change_everything(void)
{
	director_state_add(&state, "10.0.0.9*7@x", "joe \"x\"", 1, &err);
	director_state_remove(&state, named("10.0.0.3"), "ann", 2);
	director_state_set_admin(&state, named("10.0.0.2"), DIRECTOR_DRAIN,
				 "ann", 3);
	director_state_set_weight(&state, named("10.0.0.2"), 0, "joe", 4);
	director_state_set_health(&state, named("10.1.0.1"), true,
				  "connect: refused", 5);
	director_state_pin(&state, 0xfedcba9876543210U, "joe@example.org",
			   named("10.0.0.1"), 77, "ann", 6);
	director_state_pin(&state, 3, "bob", named("10.0.0.2"), 0, "ann", 7);
}

Test(director_state, comes_back_from_its_file)
{
	struct director_state copy;
	char *text;

	change_everything();
	text = saved(&state);
	director_state_init(&copy);
	cr_assert_eq(director_state_load(&copy, text, strlen(text), &err), 0,
		     "%s", err.text);
	director_state_configure(&copy, servers_of(arena, "10.0.0.1-10.0.0.3 "
							  "10.1.0.1*50@x"));
	copy.generation--;
	cr_expect_eq(copy.generation, state.generation);
	cr_expect_eq(copy.count, state.count);
	director_state_free(&state);
	state = copy;
	cr_expect(!director_backend_present(&state.backends[0]) ||
		  state.count == 5);
	cr_expect_null(director_state_find(&state, "10.0.0.3", &err));
	cr_expect_eq(named("10.0.0.2")->admin, DIRECTOR_DRAIN);
	cr_expect_eq(director_backend_weight(named("10.0.0.2")), 0);
	cr_expect(named("10.1.0.1")->sick);
	cr_expect_str_eq(named("10.1.0.1")->health.by, "connect: refused");
	cr_expect_eq(director_backend_weight(named("10.1.0.1")), 50);
	cr_expect_eq(director_backend_weight(named("10.0.0.9")), 7);
	cr_expect_str_eq(named("10.0.0.9")->presence.by, "joe \"x\"");
	cr_expect_not_null(director_state_pin_of(&state,
						 0xfedcba9876543210U));
	cr_expect_eq(director_state_pin_of(&state, 3)->until_s, 0);
}

Test(director_state, a_copy_is_the_same)
{
	struct director_state copy;
	char *text, *of_copy;

	change_everything();
	named("10.0.0.2")->share = 30;
	text = saved(&state);
	director_state_copy(&copy, &state);
	of_copy = saved(&copy);
	cr_expect_str_eq(of_copy, text);
	cr_expect_eq(copy.count, state.count);
	cr_expect_eq(copy.generation, state.generation);
	cr_expect_eq(copy.backends[1].server.id, 1);
	cr_expect_eq(director_state_find(&copy, "10.0.0.2", &err)->share, 30);
	/* And one of its own. */
	director_state_clear(&state);
	director_state_unpin(&copy, 3);
	cr_expect_str_eq(saved(&copy), saved(&copy));
	cr_expect_not_null(director_state_pin_of(&copy,
						 0xfedcba9876543210U));
	director_state_free(&copy);
}

Test(director_state, backends_are_found_again)
{
	const struct director_servers *servers = servers_of(
		arena, "10.2.0.0-10.2.0.255 10.2.0.0-10.2.0.255@x "
		       "2001:db8::-2001:db8::dff@y");
	struct director_state copy;
	unsigned i, before = state.count;

	for (i = 0; i < servers->count; i++)
		cr_assert_eq(director_state_backend(&state, &servers->list[i])
				     ->server.id, before + i);
	director_state_copy(&copy, &state);
	for (i = servers->count; i-- > 0;) {
		cr_assert_eq(director_state_backend(&state, &servers->list[i])
				     ->server.id, before + i);
		cr_assert_eq(director_state_backend(&copy, &servers->list[i])
				     ->server.id, before + i);
	}
	cr_expect_eq(state.count, before + servers->count);
	cr_expect_eq(copy.count, state.count);
	director_state_free(&copy);
}

Test(director_state, so_many_users_can_be_moved)
{
	struct director_backend *backend = named("10.0.0.1");
	uint64_t key;

	for (key = 1; key <= DIRECTOR_MAX_PINS; key++) {
		cr_assert_eq(director_state_may_pin(&state, key, &err), 0);
		director_state_pin(&state, key, "u", backend, 0, "ann", 1);
	}
	cr_expect_eq(director_state_may_pin(&state, 7, &err), 0);
	cr_expect_eq(director_state_may_pin(&state, 0, &err), -1);
	cr_expect_not_null(strstr(err.text, "10000 users"));
	director_state_unpin(&state, 7);
	cr_expect_eq(director_state_may_pin(&state, 0, &err), 0);
}

Test(director_state, any_bytes_come_back_from_its_file)
{
	static const char *const texts[] = { "\xff", "a\xc3", "\x01\x7f\"\\",
					     "\xed\xa0\x80" };
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct director_state copy;
		const char *text;

		director_state_set_health(&state, named("10.0.0.1"), true,
					  texts[i], 1);
		director_state_pin(&state, 3, texts[i], named("10.0.0.2"), 0,
				   texts[i], 7);
		text = saved(&state);
		director_state_init(&copy);
		cr_expect_eq(director_state_load(&copy, text, strlen(text),
						 &err), 0, "%s", err.text);
		cr_expect_not_null(director_state_pin_of(&copy, 3));
		director_state_free(&copy);
	}
}

Test(director_state, broken_files)
{
	static const char *const texts[] = {
		"", "{", "[]", "{}", "null",
		"{\"version\":2,\"generation\":1}",
		"{\"version\":1}",
		"{\"version\":1,\"generation\":-1}",
		"{\"version\":1,\"generation\":1,\"backends\":[{}]}",
		"{\"version\":1,\"generation\":1,\"backends\":[{\"ip\":\"x\"}]}",
		"{\"version\":1,\"generation\":1,\"backends\":["
		"{\"ip\":\"10.0.0.1\",\"admin_set\":{\"by\":\"a\",\"at\":1}}]}",
		"{\"version\":1,\"generation\":1,\"backends\":["
		"{\"ip\":\"10.0.0.1\",\"admin\":\"x\","
		"\"admin_set\":{\"by\":\"a\",\"at\":1}}]}",
		"{\"version\":1,\"generation\":1,\"backends\":["
		"{\"ip\":\"10.0.0.1\",\"weight\":1001,"
		"\"weight_set\":{\"by\":\"a\",\"at\":1}}]}",
		"{\"version\":1,\"generation\":1,\"backends\":["
		"{\"ip\":\"10.0.0.1\",\"sick\":true}]}",
		"{\"version\":1,\"generation\":1,\"backends\":["
		"{\"ip\":\"10.0.0.1\",\"removed\":true}]}",
		"{\"version\":1,\"generation\":1,\"backends\":{}}",
		"{\"version\":1,\"generation\":1,\"moved\":1}",
		"{\"version\":1,\"generation\":1,\"moved\":["
		"{\"ip\":\"10.0.0.1\",\"user\":\"a\"}]}",
	};
	struct director_state copy;
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		director_state_init(&copy);
		cr_expect_eq(director_state_load(&copy, texts[i],
						 strlen(texts[i]), &err),
			     -1, "%s", texts[i]);
		director_state_free(&copy);
	}
}
