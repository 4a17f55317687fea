/* First byte: how to cut; the others: what an administrator's client sends to the
 * control interface, with workers that answer. What comes back are whole answers,
 * those that say that they are JSON are, and nothing is under way at the end. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/log/log.h"
#include "lib/panic.h"
#include "passdb/passdb.h"
#include "proxy/control/private.h"
#include "proxy/director/keeper.h"
#include "t/files.h"
#include "t/fuzz/fuzz.h"

#define CONFIG \
	"lmtp_proxy = yes\nhostname = mx.example\nauth_cache_size = 1M\n" \
	"director_mail_servers = 10.0.0.1 10.0.0.2@east\n" \
	"passdb {\n driver = static\n args = proxy=y\n}\n"
#define MAX_SIZE 20000
#define WORKERS 2
#define PASSES 20

static struct worker_source source; /* of all inputs */
static struct worker workers[WORKERS], *worker_list[WORKERS];
static struct worker_set set;
static struct rawlog_rules wanted;
static struct control *control;
static struct director_keeper *keeper;
static struct addr addr;
static uint32_t reloads; /* the last one that is waited for */
static struct str came;

/* --- the supervisor --- */

static int wish(void *arg, enum control_wish what, uint32_t number)
{
	(void)arg;
	if (what == CONTROL_RELOAD)
		reloads = number;
	return 0;
}

static int wish_rawlog(void *arg, const struct str *order, uint32_t number)
{
	struct str rules = STR_INIT;
	struct err err;
	int status;

	(void)arg;
	rawlog_rules_expire(&wanted, loop_now_us(set.control));
	status = rawlog_rules_obey(&wanted, order->data, order->len);
	ASSERT(status >= 0);
	rawlog_rules_encode(&rules, &wanted);
	ASSERT(control_rawlogs(control, str_c(&rules), rules.len, number,
			       status > 0, &err) == 0);
	str_free(&rules);
	return 0;
}

/* --- a process --- */

static void told(void *arg)
{
	(void)arg;
}

static const struct director_keeper_events keeper_events = { told, told };

static void stop(void *arg)
{
	loop_stop(arg);
}

static void run(struct loop *loop)
{
	loop_post(loop, stop, loop);
	loop_run(loop);
}

static void run_all(void)
{
	unsigned i;

	for (i = 0; i < WORKERS; i++)
		run(workers[i].loop);
	if (reloads > 0)
		control_reloaded(control, reloads, reloads % 2 == 0, "no\n");
	reloads = 0;
	run(set.control);
}

static void open_source(void)
{
	const struct log_settings log = {
		.path = "/dev/null", .info_path = "", .debug_path = "",
		.timestamp = "", .syslog_facility = "mail", .prefix = "",
	};
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;
	struct files files;
	struct err err;

	if (source.settings != NULL)
		return;
	ASSERT(log_open(&log, &err) == 0);
	files_init(&files);
	tree = settings_read(files_write(&files, "f", CONFIG), &errors);
	files_done(&files);
	ASSERT(tree != NULL);
	source.settings = settings_new(tree, &errors);
	ASSERT(source.settings != NULL);
	conf_errors_free(&errors);
	source.tls = tls_set_new(source.settings, &err);
	ASSERT(source.tls != NULL);
}

static void make_workers(void)
{
	unsigned i;

	set = (struct worker_set){ .workers = worker_list, .count = WORKERS,
				   .limits = remote_limits_new(),
				   .control = loop_new(), .counts = -1 };
	for (i = 0; i < WORKERS; i++) {
		struct worker *worker = &workers[i];

		*worker = (struct worker){ .loop = loop_new(), .set = &set };
		worker->pool = remote_pool_new(worker->loop, NULL, set.limits);
		worker->deliveries = local_queue_new(worker->loop, -1);
		list_init(&worker->sessions);
		list_init(&worker->views);
		list_init(&worker->barred);
		rawlog_rules_init(&worker->rawlog_rules);
		worker_list[i] = worker;
	}
}

static void listen_somewhere(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	memset(&addr, 0, sizeof(addr));
	addr.sa.sa_family = AF_UNIX;
	ASSERT(bind(fd, &addr.sa, sizeof(sa_family_t)) == 0);
	ASSERT(listen(fd, 1) == 0);
	addr.len = sizeof(addr.un);
	ASSERT(getsockname(fd, &addr.sa, &addr.len) == 0);
	control_listen(control, 1, fd, 0);
}

static void open_process(void)
{
	struct control_env env = { .set = &set, .source = &source,
				   .account = "nobody",
				   .wish = wish, .rawlogs = &wanted,
				   .wish_rawlog = wish_rawlog };
	struct err err;

	open_source();
	rawlog_rules_init(&wanted);
	make_workers();
	env.loop = set.control;
	source.shared = passdb_shared_new(set.control,
					  &source.settings->passdb, &err);
	ASSERT(source.shared != NULL);
	keeper = env.keeper = director_keeper_new(set.control, &set, &keeper_events, NULL);
	ASSERT(director_keeper_use(keeper, source.settings, source.tls,
				   &err) == 0);
	control = control_new(&env);
	listen_somewhere();
	run_all();
}

static void close_process(void)
{
	unsigned i;

	control_free(&control);
	for (i = 0; i < WORKERS; i++) {
		worker_set_director(&workers[i], NULL);
		run(workers[i].loop);
		remote_pool_free(&workers[i].pool);
		local_queue_free(&workers[i].deliveries);
		rawlog_rules_free(&workers[i].rawlog_rules);
		loop_free(&workers[i].loop);
	}
	rawlog_rules_free(&wanted);
	director_keeper_close(keeper);
	run(set.control);
	director_keeper_free(&keeper);
	passdb_shared_unref(&source.shared);
	run(set.control);
	remote_limits_free(&set.limits);
	loop_free(&set.control);
}

/* --- a client --- */

static void read_answers(int fd)
{
	char buf[65536];
	ssize_t got;

	while ((got = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		str_append(&came, buf, (size_t)got);
}

/* Plans take a while, and what stands behind one in a row begins only then. */
static void settle(int fd)
{
	int passes;

	for (passes = 0; passes < PASSES;
	     passes = control->steps_count > 0 ? 0 : passes + 1) {
		run_all();
		read_answers(fd);
	}
}

static void talk(const uint8_t *data, size_t size, size_t piece)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ASSERT(connect(fd, &addr.sa, addr.len) == 0);
	while (size > 0) {
		size_t len = size < piece ? size : piece;

		if (send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		data += len;
		size -= len;
		run_all();
		read_answers(fd);
	}
	shutdown(fd, SHUT_WR);
	settle(fd);
	close(fd);
	run_all();
}

/* The answer at text: how long it is, its body included. */
static size_t check_answer(const char *text, bool has_body)
{
	const char *end = strstr(text, "\r\n\r\n"), *field;
	size_t len = 0;
	struct err err;
	struct json *json;

	ASSERT(strncmp(text, "HTTP/1.1 ", 9) == 0 && end != NULL);
	end += 4;
	if (strncmp(text + 9, "100 ", 4) == 0)
		return (size_t)(end - text);
	field = strstr(text, "\r\nContent-Length: ");
	ASSERT(field != NULL && field < end);
	if (has_body)
		len = strtoul(field + 18, NULL, 10);
	ASSERT(len <= strlen(end));
	field = strstr(text, "\r\nContent-Type: application/json\r\n");
	if (len > 0 && field != NULL && field < end) {
		json = json_parse(end, len, &err);
		ASSERT(json_kind(json) == JSON_KIND_OBJECT);
		json_close(&json);
	}
	return (size_t)(end - text) + len;
}

/* HEAD is answered as GET would be, but without the body: where it may have been,
 * only the begin can be looked at. */
static void check_answers(bool has_head)
{
	size_t at = 0;

	/* No answer has a NUL, or what is behind it would not be looked at. */
	ASSERT(strlen(str_c(&came)) == came.len);
	while (at < came.len && (at == 0 || !has_head))
		at += check_answer(str_c(&came) + at, !has_head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool has_head;

	if (size == 0 || size > MAX_SIZE)
		return 0;
	has_head = memmem(data, size, "HEAD", 4) != NULL;
	open_process();
	talk(data + 1, size - 1, (data[0] + 1u) * 8);
	check_answers(has_head);
	ASSERT(list_empty(&control->gathers) && list_empty(&control->wishes));
	ASSERT(list_empty(&control->health_calls) && control->shows == 0);
	ASSERT(control->lookup_count == 0 && control->steps_count == 0);
	close_process();
	str_free(&came);
	return 0;
}
