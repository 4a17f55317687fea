#include "t/unit/passdb_helper.h"

#include <errno.h>
#include <pthread.h>
#include <pwd.h>

#include "lib/nss.h"
#include "passdb/userdb/userdb.h"

/* --- a system that this test is --- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool held; /* questions about "slow" have no answer */
static unsigned asked, answered;

#define HOME_SIZE 5000 /* of "large" */

static void wait_while_held(const char *name)
{
	pthread_mutex_lock(&lock);
	asked++;
	pthread_cond_broadcast(&changed);
	while (held && strcmp(name, "slow") == 0)
		pthread_cond_wait(&changed, &lock);
	answered++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void hold(bool on)
{
	pthread_mutex_lock(&lock);
	held = on;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/* Waits until count reaches what is wanted. */
static void await(const unsigned *count, unsigned wanted)
{
	pthread_mutex_lock(&lock);
	while (*count < wanted)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

/* In place of the C library's. */
int getpwnam_r(const char *name, struct passwd *user, char *buffer,
	       size_t size, struct passwd **found)
{
	bool large = strcmp(name, "large") == 0;

	wait_while_held(name);
	*found = NULL;
	if (strcmp(name, "broken") == 0)
		return EIO;
	if (strcmp(name, "none") == 0)
		return 0;
	if (size < (large ? HOME_SIZE : 64))
		return ERANGE;
	memset(buffer, 'x', size);
	snprintf(buffer, size, "%.20s", name);
	buffer[32] = '/';
	buffer[large ? HOME_SIZE - 1 : 34] = '\0';
	*user = (struct passwd){
		.pw_name = buffer, .pw_dir = buffer + 32,
		.pw_uid = 7, .pw_gid = 8,
	};
	*found = user;
	return 0;
}

/* --- asking it --- */

static struct loop *loop;
static struct nss *nss;
static struct nss_job *jobs[50];
#define JOBS (sizeof(jobs) / sizeof(*jobs))
static unsigned answers, wanted, founds;

static void setup(void)
{
	loop = loop_new();
	nss = nss_new();
	hold(false);
	asked = answered = answers = wanted = founds = 0;
}

static void teardown(void)
{
	nss_free(&nss);
	loop_free(&loop);
}

TestSuite(nss, .init = setup, .fini = teardown, .timeout = 60);

static void count(void *arg, int status, const struct nss_entry *entry)
{
	cr_expect_eq(status, 0);
	founds += entry->found && strcmp(entry->name, arg) == 0;
	if (++answers == wanted)
		loop_stop(loop);
}

static struct nss_job *ask(const char *name)
{
	return nss_start(nss, loop, NSS_USER, name, count, (void *)name);
}

static void run_until(unsigned count_wanted)
{
	wanted = count_wanted;
	loop_run(loop);
}

Test(nss, users)
{
	struct nss_entry entry;

	cr_assert_eq(nss_find(NSS_USER, "joe", &entry), 0);
	cr_expect(entry.found);
	cr_expect_eq(entry.uid, 7);
	cr_expect_eq(entry.gid, 8);
	cr_expect_str_eq(entry.name, "joe");
	cr_expect_str_eq(entry.home, "/x");
	nss_entry_free(&entry);
	cr_assert_eq(nss_find(NSS_USER, "none", &entry), 0);
	cr_expect(!entry.found);
	cr_expect_eq(nss_find(NSS_USER, "broken", &entry), EIO);
	cr_assert_eq(nss_find(NSS_USER, "large", &entry), 0);
	cr_expect_eq(strlen(entry.home), HOME_SIZE - 33);
	nss_entry_free(&entry);
}

Test(nss, groups)
{
	struct nss_entry entry;

	cr_assert_eq(nss_find(NSS_GROUP, "daemon", &entry), 0);
	cr_expect(entry.found);
	cr_expect_eq(entry.gid, 1);
	cr_expect_null(entry.home);
	nss_entry_free(&entry);
	cr_assert_eq(nss_find(NSS_GROUP, "no-such-group", &entry), 0);
	cr_expect(!entry.found);
	nss_entry_free(&entry);
}

Test(nss, threads_answer_all)
{
	size_t i;

	for (i = 0; i < JOBS; i++)
		jobs[i] = ask(i % 2 ? "joe" : "none");
	cr_expect_eq(answers, 0, "inside nss_start()");
	run_until(JOBS);
	cr_expect_eq(founds, JOBS / 2);
}

/* One that hangs holds up nobody as long as there is another thread, and no
 * loop ever. */
Test(nss, slow_answers)
{
	unsigned i;

	hold(true);
	for (i = 0; i < NSS_THREADS - 1; i++)
		jobs[i] = ask("slow");
	await(&asked, NSS_THREADS - 1);
	(void)ask("joe");
	run_until(1);
	cr_expect_eq(founds, 1);
	jobs[i] = ask("slow");
	await(&asked, NSS_THREADS + 1);
	jobs[i + 1] = ask("joe"); /* there is no thread left for it */
	cr_expect_eq(asked, NSS_THREADS + 1);
	hold(false);
	run_until(NSS_THREADS + 2);
	cr_expect_eq(founds, NSS_THREADS + 2);
}

Test(nss, canceled)
{
	size_t i;

	hold(true);
	for (i = 0; i < JOBS; i++)
		jobs[i] = ask("slow");
	await(&asked, NSS_THREADS);
	for (i = 0; i < JOBS; i++)
		nss_cancel(&jobs[i]); /* asked, or still in the queue */
	hold(false);
	await(&answered, NSS_THREADS);
	for (i = 0; i < JOBS; i++)
		jobs[i] = ask("joe");
	await(&answered, NSS_THREADS + JOBS);
	for (i = 1; i < JOBS; i++)
		nss_cancel(&jobs[i]); /* answered, and on its way */
	run_until(1);
	cr_expect_eq(founds, 1);
	cr_expect_null(jobs[1]);
	(void)ask("joe");
	run_until(2);
}

/* Who asks does not keep what is freed from being freed. */
Test(nss, freed_while_it_asks)
{
	hold(true);
	jobs[0] = ask("slow");
	await(&asked, 1);
	nss_cancel(&jobs[0]);
	nss_free(&nss);
	hold(false);
	await(&answered, 1);
}

/* --- userdbs that ask it --- */

struct lookup {
	struct helper helper;
	struct userdb_request request;
};

static void lookup_done(struct userdb_request *request)
{
	struct lookup *lookup =
		container_of(request, struct lookup, request);

	loop_stop(lookup->helper.loop);
}

static struct lookup *lookup_new(const char *driver, const char *args)
{
	static struct lookup lookup;

	lookup = (struct lookup){ .request = { .user = NULL } };
	helper_init(&lookup.helper);
	lookup.helper.settings.lookup_timeout_ms = 30;
	helper_add_userdb(&lookup.helper, driver, args);
	helper_open(&lookup.helper);
	return &lookup;
}

static enum passdb_result lookup_run(struct lookup *lookup, const char *user)
{
	struct userdb_request *request = &lookup->request;

	request->arena = lookup->helper.arena;
	request->user = user;
	request->client = &lookup->helper.client;
	request->log = &lookup->helper.log;
	request->done = lookup_done;
	userdb_lookup(lookup->helper.passdb, request);
	loop_run(lookup->helper.loop);
	return request->result;
}

/* asked counts from the start of the test: the one that hangs, and the one
 * behind it. */
static void expect_timeout(const char *driver, const char *args)
{
	struct lookup *lookup = lookup_new(driver, args);

	hold(true);
	cr_expect_eq(lookup_run(lookup, "slow"), PASSDB_FAIL);
	cr_expect(lookup->request.timed_out);
	cr_expect(strstr(helper_log(&lookup->helper), "within "
			 "auth_lookup_timeout") != NULL, "%s",
		  helper_log(&lookup->helper));
	cr_expect_eq(lookup_run(lookup, "joe"), PASSDB_OK);
	cr_expect_eq(lookup->request.found.uid, 7);
	hold(false);
	helper_close(&lookup->helper);
}

Test(nss, userdb_does_not_wait_for_ever)
{
	expect_timeout("passwd", "");
	expect_timeout("static", "allow_all_users=yes uid=%n");
}

/* That nobody can say does not mean that there is nobody. */
Test(nss, userdb_of_a_broken_system)
{
	struct lookup *lookup = lookup_new("passwd", "");

	cr_expect_eq(lookup_run(lookup, "broken"), PASSDB_FAIL);
	cr_expect(strstr(helper_log(&lookup->helper), "userdb passwd: user "
			 "broken: cannot ask the system: Input/output error"));
	cr_expect_eq(lookup_run(lookup, "none"), PASSDB_NOT_FOUND);
	helper_close(&lookup->helper);
	lookup = lookup_new("static", "allow_all_users=yes uid=%n");
	cr_expect_eq(lookup_run(lookup, "broken"), PASSDB_FAIL);
	cr_expect(!lookup->request.malformed);
	cr_expect(strstr(helper_log(&lookup->helper), "field uid: cannot look "
			 "up user 'broken': Input/output error"));
	helper_close(&lookup->helper);
}

/* Answers of the system are kept as those of servers are. */
Test(nss, userdb_with_a_cache)
{
	struct lookup *lookup = lookup_new("passwd", "");
	struct helper *helper = &lookup->helper;

	passdb_free(&helper->passdb);
	passdb_shared_unref(&helper->shared);
	helper->settings.cache_size = 65536;
	helper->settings.cache_ttl_ms = 3600000;
	helper_open(helper);
	cr_expect_eq(lookup_run(lookup, "joe"), PASSDB_OK);
	cr_expect_eq(lookup_run(lookup, "joe"), PASSDB_OK);
	cr_expect_eq(lookup->request.found.uid, 7);
	cr_expect_str_eq(lookup->request.found.home, "/x");
	cr_expect_eq(asked, 1);
	passdb_shared_cache_flush(helper->shared);
	cr_expect_eq(lookup_run(lookup, "joe"), PASSDB_OK);
	cr_expect_eq(asked, 2);
	helper_close(helper);
}

Test(nss, userdb_canceled)
{
	struct lookup *lookup = lookup_new("passwd", "");
	struct userdb_request *request = &lookup->request;

	cr_expect_eq(lookup_run(lookup, "joe"), PASSDB_OK);
	hold(true);
	request->user = "slow";
	userdb_lookup(lookup->helper.passdb, request);
	await(&asked, 2);
	userdb_cancel(request);
	userdb_cancel(request);
	hold(false);
	await(&answered, 2);
	helper_close(&lookup->helper);
}
