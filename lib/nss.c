#include "lib/nss.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>

#include "lib/list.h"
#include "lib/mem.h"
#include "lib/panic.h"

/* What an entry may take: a group has all its members in it. */
#define BUFFER_MIN 1024
#define BUFFER_MAX (1 << 22)

/* --- asking --- */

static int find_user(const char *name, char *buffer, size_t size,
		     struct nss_entry *entry)
{
	struct passwd user, *found = NULL;
	int status = getpwnam_r(name, &user, buffer, size, &found);

	if (found == NULL)
		return status;
	*entry = (struct nss_entry){
		.found = true,
		.uid = user.pw_uid,
		.gid = user.pw_gid,
		.name = mem_strdup(user.pw_name),
		.home = mem_strdup(user.pw_dir),
	};
	return 0;
}

static int find_group(const char *name, char *buffer, size_t size,
		      struct nss_entry *entry)
{
	struct group group, *found = NULL;
	int status = getgrnam_r(name, &group, buffer, size, &found);

	if (found == NULL)
		return status;
	*entry = (struct nss_entry){
		.found = true,
		.gid = group.gr_gid,
		.name = mem_strdup(group.gr_name),
	};
	return 0;
}

int nss_find(enum nss_what what, const char *name, struct nss_entry *entry_r)
{
	size_t size = BUFFER_MIN;
	char *buffer = NULL;
	int status;

	*entry_r = (struct nss_entry){ .found = false };
	do {
		buffer = mem_realloc(buffer, size);
		status = what == NSS_USER
				 ? find_user(name, buffer, size, entry_r)
				 : find_group(name, buffer, size, entry_r);
		if (status == ERANGE)
			size *= 2;
	} while (status == EINTR || (status == ERANGE && size <= BUFFER_MAX));
	mem_free(&buffer);
	return status;
}

void nss_entry_free(struct nss_entry *entry)
{
	mem_free(&entry->name);
	mem_free(&entry->home);
}

/* --- threads --- */

struct nss {
	pthread_mutex_t lock; /* guards all of it, and where jobs are */
	pthread_cond_t wake;  /* a job is queued, or it is over */
	struct list queue;
	unsigned queued; /* jobs in it */
	unsigned threads, idle;
	bool closing;
};

enum job_state { JOB_QUEUED, JOB_ASKED, JOB_ANSWERED };

struct nss_job {
	struct list node; /* in the queue */
	struct nss *nss;
	enum job_state state;
	struct loop *loop; /* NULL: canceled while it was being asked */
	enum nss_what what;
	char *name;
	int status;
	struct nss_entry entry;
	nss_done_fn *done; /* only loop's thread; NULL: canceled */
	void *arg;
};

static void job_free(struct nss_job *job)
{
	nss_entry_free(&job->entry);
	mem_free(&job->name);
	mem_release(job);
}

/* Back on the loop. */
static void job_done(void *arg)
{
	struct nss_job *job = arg;

	if (job->done != NULL)
		job->done(job->arg, job->status, &job->entry);
	job_free(job);
}

/* With the lock. */
static void job_answered(struct nss_job *job)
{
	job->state = JOB_ANSWERED;
	if (job->loop != NULL)
		loop_post(job->loop, job_done, job);
	else
		job_free(job);
}

/* The next job, with the lock; NULL: the thread is to end. */
static struct nss_job *thread_wait(struct nss *nss)
{
	struct nss_job *job;

	while (list_empty(&nss->queue) && !nss->closing) {
		nss->idle++;
		pthread_cond_wait(&nss->wake, &nss->lock);
		nss->idle--;
	}
	if (list_empty(&nss->queue))
		return NULL;
	job = list_first(&nss->queue, struct nss_job, node);
	list_remove(&job->node);
	nss->queued--;
	job->state = JOB_ASKED;
	return job;
}

static void nss_release(struct nss *nss)
{
	pthread_cond_destroy(&nss->wake);
	pthread_mutex_destroy(&nss->lock);
	mem_release(nss);
}

static void *nss_thread(void *arg)
{
	struct nss *nss = arg;
	struct nss_job *job;
	bool last;

	pthread_mutex_lock(&nss->lock);
	while ((job = thread_wait(nss)) != NULL) {
		pthread_mutex_unlock(&nss->lock);
		job->status = nss_find(job->what, job->name, &job->entry);
		pthread_mutex_lock(&nss->lock);
		job_answered(job);
	}
	last = --nss->threads == 0;
	pthread_mutex_unlock(&nss->lock);
	if (last)
		nss_release(nss);
	return NULL;
}

/* With the lock. Signals are for the main thread. */
static int thread_start(struct nss *nss)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int status;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	status = pthread_create(&thread, &attr, nss_thread, nss);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	nss->threads += status == 0;
	return status;
}

struct nss *nss_new(void)
{
	struct nss *nss = mem_new(struct nss);

	pthread_mutex_init(&nss->lock, NULL);
	pthread_cond_init(&nss->wake, NULL);
	list_init(&nss->queue);
	return nss;
}

void nss_free(struct nss **nss_p)
{
	struct nss *nss = *nss_p;
	bool last;

	*nss_p = NULL;
	if (nss == NULL)
		return;
	pthread_mutex_lock(&nss->lock);
	ASSERT(list_empty(&nss->queue));
	nss->closing = true;
	pthread_cond_broadcast(&nss->wake);
	last = nss->threads == 0;
	pthread_mutex_unlock(&nss->lock);
	if (last)
		nss_release(nss);
}

/* Puts a job into the queue, for a thread that there is, with the lock. */
static void job_queue(struct nss_job *job)
{
	struct nss *nss = job->nss;
	int status = 0;

	if (nss->queued >= nss->idle && nss->threads < NSS_THREADS)
		status = thread_start(nss);
	if (nss->threads == 0) {
		job->status = status;
		job_answered(job);
		return;
	}
	list_append(&nss->queue, &job->node);
	nss->queued++;
	pthread_cond_signal(&nss->wake);
}

struct nss_job *nss_start(struct nss *nss, struct loop *loop,
			  enum nss_what what, const char *name,
			  nss_done_fn *done, void *arg)
{
	struct nss_job *job = mem_new(struct nss_job);

	*job = (struct nss_job){
		.nss = nss, .loop = loop, .what = what,
		.name = mem_strdup(name), .done = done, .arg = arg,
	};
	pthread_mutex_lock(&nss->lock);
	job_queue(job);
	pthread_mutex_unlock(&nss->lock);
	return job;
}

void nss_cancel(struct nss_job **job_p)
{
	struct nss_job *job = *job_p;
	struct nss *nss;
	bool mine = false;

	*job_p = NULL;
	if (job == NULL)
		return;
	nss = job->nss;
	pthread_mutex_lock(&nss->lock);
	job->done = NULL;
	job->loop = NULL;
	if (job->state == JOB_QUEUED) {
		list_remove(&job->node);
		nss->queued--;
		mine = true;
	}
	pthread_mutex_unlock(&nss->lock);
	if (mine)
		job_free(job);
}
