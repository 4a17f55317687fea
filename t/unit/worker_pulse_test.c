#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>

#include "proxy/worker/pulse.h"

#define WORKERS 3

static struct worker workers[WORKERS], *worker_list[WORKERS];
static struct worker_set set = { .workers = worker_list, .count = WORKERS };
static struct worker_pulse pulse;
static pthread_t threads[WORKERS];
static unsigned felt;
static sem_t stuck, go_on;

static void *run(void *arg)
{
	struct worker *worker = arg;

	loop_run(worker->loop);
	return NULL;
}

static void stop(void *arg)
{
	loop_stop(arg);
}

static void on_felt(struct worker_pulse *which)
{
	cr_assert_eq(which, &pulse);
	felt++;
	loop_stop(set.control);
}

static void setup(void)
{
	int i;

	set.control = loop_new();
	for (i = 0; i < WORKERS; i++) {
		workers[i].loop = loop_new();
		worker_list[i] = &workers[i];
		pthread_create(&threads[i], NULL, run, &workers[i]);
	}
	pulse.set = &set;
	pulse.felt = on_felt;
	sem_init(&stuck, 0, 0);
	sem_init(&go_on, 0, 0);
}

static void teardown(void)
{
	int i;

	for (i = 0; i < WORKERS; i++) {
		loop_post(workers[i].loop, stop, workers[i].loop);
		pthread_join(threads[i], NULL);
		loop_free(&workers[i].loop);
	}
	loop_free(&set.control);
}

TestSuite(worker_pulse, .init = setup, .fini = teardown, .timeout = 20);

Test(worker_pulse, is_felt_when_all_answer)
{
	worker_pulse_feel(&pulse);
	loop_run(set.control);
	cr_assert_eq(felt, 1);
	worker_pulse_feel(&pulse);
	loop_run(set.control);
	cr_assert_eq(felt, 2);
}

static void get_stuck(void *arg)
{
	(void)arg;
	sem_post(&stuck);
	sem_wait(&go_on);
}

/* The other workers have been asked, and answer nothing more after this. */
static void settle(unsigned from)
{
	unsigned i;

	for (i = from; i < WORKERS; i++) {
		loop_post(workers[i].loop, stop, workers[i].loop);
		pthread_join(threads[i], NULL);
	}
	loop_post(set.control, stop, set.control);
	loop_run(set.control);
	for (i = from; i < WORKERS; i++)
		pthread_create(&threads[i], NULL, run, &workers[i]);
}

Test(worker_pulse, is_not_felt_when_one_is_stuck)
{
	loop_post(workers[0].loop, get_stuck, NULL);
	sem_wait(&stuck);
	worker_pulse_feel(&pulse);
	settle(1);
	cr_assert_eq(felt, 0);
	cr_assert_eq(pulse.missing, 1);
	/* Those that are alive do not stand in for it. */
	worker_pulse_feel(&pulse);
	settle(1);
	cr_assert_eq(felt, 0);
	sem_post(&go_on);
	loop_run(set.control);
	cr_assert_eq(felt, 1);
}
