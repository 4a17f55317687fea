/* The prober, with backends that come and go. */
#include "t/unit/probe_helper.h"

#include "backends/director/prober.h"
#include "t/files.h"
#include "t/pki.h"

#define HOUR 3600000U
#define MANY 80

static struct loop *loop;
static struct backend backend;
static struct director_health_settings settings;
static struct director_prober *prober;
static struct director_prober_target targets[MANY];
static char names[MANY][20];
static unsigned changes, inside; /* inside a call of the module */
static char last[400];		 /* the last change */

static void changed(void *arg, const char *name,
		    const struct director_health *health)
{
	cr_assert_eq(arg, &changes);
	cr_assert_eq(inside, 0, "called inside a call");
	changes++;
	snprintf(last, sizeof(last), "%s %s: %s", name,
		 health->up ? "up" : "down", health->why);
}

static const struct director_prober_events events = { .changed = changed };

/* Fast enough for a test; whoever wants no probes but the ones that deliveries
 * bring about takes an hour. */
static void setup(void)
{
	unsigned i;

	loop = loop_new();
	backend_open(&backend, loop);
	settings = (struct director_health_settings){
		.probe = DIRECTOR_PROBE_LHLO,
		.probe_user = "probe@example.org",
		.probe_interval = 20,
		.probe_timeout = 30000,
		.probe_rise = 2,
		.probe_fall = 3,
		.probe_max_interval = 40,
		.slow_start = 30000,
		.panic_threshold = 50,
	};
	for (i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "b%u", i);
		targets[i].name = names[i];
		targets[i].target = backend_target(&backend);
	}
	changes = inside = 0;
	last[0] = '\0';
	prober = director_prober_new(loop, "w.example", 4711, &events,
				     &changes);
}

static void teardown(void)
{
	director_prober_free(&prober);
	cr_expect_null(prober);
	director_prober_free(&prober);
	backend_close(&backend);
	pass(loop);
	loop_free(&loop);
}

TestSuite(director_prober, .init = setup, .fini = teardown, .timeout = 60);

static void set(unsigned count)
{
	inside++;
	director_prober_set(prober, &settings, targets, count);
	inside--;
}

static void signal_of(const char *name, enum director_signal kind)
{
	inside++;
	director_prober_signal(prober, name, kind, "said so");
	inside--;
}

static const struct director_health *health(const char *name)
{
	return director_prober_health(prober, name);
}

static bool is_up(const char *name)
{
	cr_assert_not_null(health(name));
	return health(name)->up;
}

Test(director_prober, well)
{
	set(1);
	cr_expect(is_up("b0"));
	UNTIL(loop, health("b0")->successes >= 3);
	cr_expect_eq(changes, 0);
	cr_expect_eq(strncmp(str_c(&backend.heard),
			     "LHLO w.example\nQUIT\n", 20), 0);
	cr_expect_eq(backend.most, 1);
}

Test(director_prober, goes_down_and_comes_back)
{
	set(2);
	backend.answers[STAGE_LHLO] = "451 4.3.0 no\r\n";
	UNTIL(loop, changes == 2);
	cr_expect_not(is_up("b0"));
	cr_expect_not(is_up("b1"));
	cr_expect_str_eq(health("b0")->why, "LHLO: 451 4.3.0 no");
	cr_expect_str_eq(last + 2, " down: LHLO: 451 4.3.0 no");
	UNTIL(loop, health("b0")->failures > 6);
	cr_expect_eq(changes, 2, "told once");
	backend.answers[STAGE_LHLO] = stages[STAGE_LHLO].answer;
	UNTIL(loop, changes == 4);
	cr_expect(is_up("b0"));
	cr_expect(is_up("b1"));
	cr_expect_str_eq(last + 2, " up: 2 probes in a row succeeded");
	cr_expect_eq(director_health_share(health("b0"), &settings,
					   health("b0")->since_ms), 10);
}

Test(director_prober, refused_and_back)
{
	set(1);
	backend_refuse(&backend);
	UNTIL(loop, changes == 1);
	cr_expect_eq(strncmp(last, "b0 down: connect(127.0.0.1:", 27), 0,
		     "%s", last);
	backend_return(&backend);
	UNTIL(loop, changes == 2);
	cr_expect(is_up("b0"));
}

Test(director_prober, the_level_and_the_user_are_those_of_the_settings)
{
	settings.probe = DIRECTOR_PROBE_RCPT;
	set(1);
	UNTIL(loop, health("b0")->successes > 0);
	cr_expect_not_null(strstr(str_c(&backend.heard),
				  "RCPT TO:<probe@example.org>\n"));
	settings.probe_user = "other@example.org";
	set(1);
	UNTIL(loop, strstr(str_c(&backend.heard),
			   "RCPT TO:<other@example.org>\n") != NULL);
}

Test(director_prober, the_time_limit_is_that_of_the_settings)
{
	settings.probe_timeout = 20;
	backend.answers[STAGE_LHLO] = "";
	set(1);
	UNTIL(loop, changes == 1);
	cr_expect_str_eq(last, "b0 down: LHLO: timed out");
}

static void close_all(void)
{
	struct list *node, *tmp;

	list_each(&backend.conns, node, tmp)
		backend_conn_close(container_of(node, struct backend_conn,
						node));
}

Test(director_prober, so_many_at_a_time)
{
	unsigned i, seen = 0;

	settings.probe_interval = 1;
	backend.answers[STAGE_GREETING] = "";
	set(MANY);
	UNTIL(loop, backend.open == DIRECTOR_PROBER_AT_A_TIME);
	for (i = 0; i < 100; i++)
		pass(loop);
	cr_expect_eq(backend.connections, DIRECTOR_PROBER_AT_A_TIME);
	backend.answers[STAGE_GREETING] = stages[STAGE_GREETING].answer;
	close_all();
	while (seen < MANY) { /* the others' turn comes */
		pass(loop);
		for (i = seen = 0; i < MANY; i++)
			seen += health(names[i])->successes > 0;
	}
}

Test(director_prober, one_backend_has_one_probe_at_a_time)
{
	unsigned i;

	settings.probe_interval = HOUR;
	backend.answers[STAGE_GREETING] = "";
	set(1);
	for (i = 0; i < 50; i++) {
		signal_of("b0", DIRECTOR_SIGNAL_CONNECT);
		pass(loop);
	}
	UNTIL(loop, backend.connections > 0);
	signal_of("b0", DIRECTOR_SIGNAL_CONNECT);
	set(1);
	for (i = 0; i < 50; i++)
		pass(loop);
	cr_expect_eq(backend.connections, 1);
}

/* --- deliveries --- */

Test(director_prober, a_delivery_brings_a_probe_forward)
{
	settings.probe_interval = HOUR;
	settings.probe_fall = 2;
	backend.answers[STAGE_LHLO] = NULL;
	set(1);
	signal_of("b0", DIRECTOR_SIGNAL_CONNECT);
	cr_expect(is_up("b0"));
	UNTIL(loop, changes == 1);
	cr_expect_str_eq(last, "b0 down: LHLO: connection closed");
	cr_expect_eq(backend.connections, 1);
}

Test(director_prober, a_delivery_does_not_bring_it_back_but_a_probe)
{
	settings.probe_interval = HOUR;
	settings.probe_rise = 1;
	set(2);
	inside++;
	director_prober_restore_down(prober, "b0", "was refused", 1);
	inside--;
	cr_expect_not(is_up("b0"));
	signal_of("b0", DIRECTOR_SIGNAL_DELIVERED);
	cr_expect_not(is_up("b0"));
	UNTIL(loop, changes == 1);
	cr_expect_str_eq(last, "b0 up: 1 probes in a row succeeded");
	cr_expect_eq(backend.connections, 1);
}

Test(director_prober, down_before_the_program_started)
{
	set(1);
	director_prober_restore_down(prober, "b0", "was refused",
				     UINT64_MAX);
	cr_expect_eq(health("b0")->since_ms, 0);
	director_prober_restore_down(prober, "b0", "was refused", 1000);
	cr_expect_eq(health("b0")->since_ms,
		     director_prober_now_ms(prober) - 1000);
	cr_expect_str_eq(health("b0")->why, "was refused");
	UNTIL(loop, changes == 1);
	cr_expect(is_up("b0"), "the owner knew, and heard of no fall");
}

Test(director_prober, names_that_are_not_in_the_list)
{
	cr_expect_null(health("b0"));
	signal_of("b0", DIRECTOR_SIGNAL_CONNECT);
	set(1);
	signal_of("b1", DIRECTOR_SIGNAL_CONNECT);
	director_prober_restore_down(prober, "b1", "refused", 0);
	cr_expect_null(health("b1"));
	cr_expect(is_up("b0"));
}

/* --- the list --- */

Test(director_prober, another_list)
{
	settings.probe_interval = HOUR;
	set(3);
	director_prober_restore_down(prober, "b1", "refused", 0);
	targets[0].name = "new"; /* instead of b0 */
	set(2);
	cr_expect_null(health("b0"));
	cr_expect_null(health("b2"));
	cr_expect_not(is_up("b1"), "it was there before");
	cr_expect(is_up("new"));
	set(0);
	cr_expect_null(health("b1"));
	set(2);
	cr_expect(is_up("b1"), "it is new");
	pass(loop);
	cr_expect_eq(changes, 0);
}

Test(director_prober, a_probe_under_way_goes_on)
{
	settings.probe_interval = HOUR;
	backend.answers[STAGE_LHLO] = "";
	set(1);
	signal_of("b0", DIRECTOR_SIGNAL_TIMEOUT);
	UNTIL(loop, backend.heard.len > 0);
	set(2);
	pass(loop);
	cr_expect_eq(backend.open, 1);
	stream_puts(list_first(&backend.conns, struct backend_conn,
			       node)->stream, stages[STAGE_LHLO].answer);
	UNTIL(loop, health("b0")->successes == 1);
	cr_expect_eq(backend.connections, 1);
}

Test(director_prober, a_probe_of_one_that_goes_ends)
{
	settings.probe_interval = HOUR;
	backend.answers[STAGE_LHLO] = "";
	set(1);
	signal_of("b0", DIRECTOR_SIGNAL_TIMEOUT);
	UNTIL(loop, backend.heard.len > 0);
	set(0);
	UNTIL(loop, backend.open == 0);
	cr_expect_eq(changes, 0);
}

Test(director_prober, probes_that_end_make_room_for_others)
{
	unsigned i;

	settings.probe_interval = 1;
	backend.answers[STAGE_GREETING] = "";
	for (i = 0; i < 3; i++) {
		set(MANY);
		UNTIL(loop, backend.open == DIRECTOR_PROBER_AT_A_TIME);
		set(0);
		UNTIL(loop, backend.open == 0);
	}
}

Test(director_prober, another_target_is_probed_anew)
{
	struct backend other;

	settings.probe_interval = HOUR;
	backend.answers[STAGE_LHLO] = "";
	set(1);
	signal_of("b0", DIRECTOR_SIGNAL_TIMEOUT);
	UNTIL(loop, backend.heard.len > 0);
	backend_open(&other, loop);
	targets[0].target = backend_target(&other);
	set(1);
	UNTIL(loop, health("b0")->successes == 1);
	cr_expect_eq(other.connections, 1);
	cr_expect_eq(backend.connections, 1);
	UNTIL(loop, backend.open == 0);
	backend_close(&other);
}

Test(director_prober, a_target_that_moves_is_probed_soon)
{
	settings.probe_interval = HOUR;
	set(1);
	targets[0].target.host = "localhost";
	set(1);
	UNTIL(loop, health("b0")->successes == 1);
}

static bool is_long_due(const char *name)
{
	return director_prober_now_ms(prober) >
	       health(name)->next_probe_ms + 5;
}

Test(director_prober, no_more_probes)
{
	unsigned connections;

	set(2);
	director_prober_restore_down(prober, "b1", "refused", 0);
	backend.answers[STAGE_LHLO] = NULL;
	UNTIL(loop, changes == 1);
	cr_expect_str_eq(last, "b0 down: LHLO: connection closed");
	settings.probe = DIRECTOR_PROBE_NO;
	set(2);
	cr_expect(is_up("b0"));
	UNTIL(loop, changes == 3);
	cr_expect_str_eq(last + 2, " up: it is not probed");
	UNTIL(loop, backend.open == 0);
	connections = backend.connections;
	signal_of("b0", DIRECTOR_SIGNAL_CONNECT);
	UNTIL(loop, is_long_due("b0") && is_long_due("b1"));
	cr_expect_eq(backend.connections, connections);
	settings.probe = DIRECTOR_PROBE_LHLO;
	set(2);
	UNTIL(loop, changes == 5);
	cr_expect_not(is_up("b1"));
}

Test(director_prober, the_end_with_probes_under_way)
{
	backend.answers[STAGE_LHLO] = "";
	set(MANY);
	UNTIL(loop, backend.open > 10);
	director_prober_free(&prober);
	UNTIL(loop, backend.open == 0);
	cr_expect_eq(changes, 0);
}

/* --- what the callback may do --- */

static void free_it(void *arg, const char *name,
		    const struct director_health *what)
{
	(void)arg;
	(void)name;
	(void)what;
	changes++;
	director_prober_free(&prober);
}

static void shorten_it(void *arg, const char *name,
		       const struct director_health *what)
{
	(void)arg;
	(void)what;
	cr_assert_not_null(health(name));
	changes++;
	set(0);
}

static void another_prober(const struct director_prober_events *other)
{
	director_prober_free(&prober);
	prober = director_prober_new(loop, "w.example", 4711, other,
				     &changes);
	settings.probe_fall = 1;
	backend.answers[STAGE_GREETING] = NULL;
	set(20);
}

Test(director_prober, the_callback_may_free_it)
{
	static const struct director_prober_events other = {
		.changed = free_it,
	};

	another_prober(&other);
	UNTIL(loop, changes == 1);
	UNTIL(loop, backend.open == 0);
	pass(loop);
	cr_expect_eq(changes, 1);
}

Test(director_prober, the_callback_may_change_the_list)
{
	static const struct director_prober_events other = {
		.changed = shorten_it,
	};

	another_prober(&other);
	UNTIL(loop, changes == 1);
	UNTIL(loop, backend.open == 0);
	pass(loop);
	cr_expect_eq(changes, 1);
}

/* --- TLS --- */

Test(director_prober, holds_the_tls_context)
{
	struct pki_cert cert;
	struct tls_settings tls;
	struct tls_context *ours;
	struct arena *arena = arena_new(1024);
	struct files files;
	struct err err;

	files_init(&files);
	conf_defaults(&tls_settings_table, arena, &tls);
	pki_make(&cert, &(struct pki_params){ .name = "b", .is_ca = true,
					      .alt_names = "DNS:b.example" });
	tls.ssl_cert = str_c(&cert.pem);
	tls.ssl_key = str_c(&cert.key);
	tls.ssl_client_ca_file = arena_strdup(
		arena, files_write(&files, "ca.pem", str_c(&cert.pem)));
	backend.context = tls_context_server(&tls, &err);
	backend.tls = true;
	ours = tls_context_client(&tls, &err);
	cr_assert(backend.context != NULL && ours != NULL, "%s", err.text);
	targets[0].target.tls = REMOTE_TLS_IMMEDIATE;
	targets[0].target.tls_context = ours;
	targets[0].target.host = "b.example";
	set(1);
	set(1);
	tls_context_unref(&ours);
	UNTIL(loop, health("b0")->successes + health("b0")->failures > 0);
	cr_expect_eq(health("b0")->successes, 1, "%s", health("b0")->last);
	director_prober_free(&prober);
	UNTIL(loop, backend.open == 0);
	tls_context_unref(&backend.context);
	pki_free(&cert);
	files_done(&files);
	arena_free(&arena);
}

/* --- any lists --- */

static unsigned draw(uint64_t *state, unsigned below)
{
	*state = *state * 6364136223846793005U + 1442695040888963407U;
	return (unsigned)(*state >> 33) % below;
}

/* A list of some names in any order; in_list has them afterwards. */
static void random_list(uint64_t *state, bool in_list[MANY])
{
	static struct director_prober_target list[MANY];
	unsigned i, j, count = 0;

	for (i = 0; i < MANY; i++) {
		in_list[i] = draw(state, 3) > 0;
		if (!in_list[i])
			continue;
		j = draw(state, count + 1);
		list[count++] = list[j];
		list[j] = targets[i];
	}
	inside++;
	director_prober_set(prober, &settings, list, count);
	inside--;
}

Test(director_prober, random_lists)
{
	bool in_list[MANY] = { false }, before[MANY], down[MANY] = { false };
	uint64_t state = 1;
	unsigned round, i;

	settings.probe_interval = settings.probe_max_interval = HOUR;
	for (round = 0; round < 300; round++) {
		memcpy(before, in_list, sizeof(before));
		random_list(&state, in_list);
		for (i = 0; i < MANY; i++) {
			down[i] = down[i] && before[i] && in_list[i];
			cr_assert_eq(health(names[i]) != NULL, in_list[i]);
			if (in_list[i])
				cr_assert_eq(is_up(names[i]), !down[i]);
		}
		i = draw(&state, MANY);
		director_prober_restore_down(prober, names[i], "refused", 0);
		down[i] = down[i] || in_list[i];
	}
	cr_expect_eq(changes, 0);
}
