#include "proxy/director/sleep.h"

#include "lib/clock.h"
#include "lib/log/log.h"
#include "lib/mem.h"

#define LOOK_MS 250
#define HOLD_MS 5000

struct director_sleep {
	struct director_notes *notes;
	struct cluster_node *cluster;
	void (*over)(void *arg);
	void *arg;
	struct loop_timer timer;
	uint64_t seen_ms;   /* when it was awake */
	uint64_t woken_ms;  /* 0: nobody is held */
};

static void let_go(struct director_sleep *sleep)
{
	sleep->woken_ms = 0;
	director_notes_hold(sleep->notes, false);
	sleep->over(sleep->arg);
}

void director_sleep_look(struct director_sleep *sleep)
{
	const struct director_cluster *cluster =
		cluster_node_cluster(sleep->cluster);

	if (sleep->woken_ms == 0)
		return;
	if (!director_cluster_is_awake(cluster) &&
	    cluster_node_in_step(sleep->cluster) &&
	    sleep->seen_ms < sleep->woken_ms + HOLD_MS)
		return;
	let_go(sleep);
}

static void wake_up(struct director_sleep *sleep, uint64_t slept_ms)
{
	log_warning(NULL, "cluster: this process has slept for %.1f s: "
		    "deliveries wait until etcd has said what became of the "
		    "servers", (double)slept_ms / 1000);
	sleep->woken_ms = sleep->seen_ms;
	director_notes_hold(sleep->notes, true);
	director_cluster_slept(cluster_node_cluster(sleep->cluster));
	cluster_node_write(sleep->cluster);
}

static void look(struct loop_timer *timer)
{
	struct director_sleep *sleep =
		container_of(timer, struct director_sleep, timer);
	uint64_t was_ms = sleep->seen_ms;

	sleep->seen_ms = clock_boot_ms();
	if (sleep->seen_ms > was_ms + DIRECTOR_SLEEP_MS)
		wake_up(sleep, sleep->seen_ms - was_ms);
	director_notes_watch(sleep->notes, sleep->seen_ms);
	director_sleep_look(sleep);
	loop_timer_set(timer, LOOK_MS);
}

struct director_sleep *director_sleep_new(struct loop *loop,
					  struct director_notes *notes,
					  struct cluster_node *cluster,
					  void (*over)(void *arg), void *arg)
{
	struct director_sleep *sleep = mem_new(struct director_sleep);

	sleep->notes = notes;
	sleep->cluster = cluster;
	sleep->over = over;
	sleep->arg = arg;
	sleep->seen_ms = clock_boot_ms();
	loop_timer_open(&sleep->timer, loop, look);
	loop_timer_set(&sleep->timer, LOOK_MS);
	return sleep;
}

void director_sleep_free(struct director_sleep **sleep_p)
{
	struct director_sleep *sleep = *sleep_p;

	if (sleep == NULL)
		return;
	director_notes_watch(sleep->notes, 0);
	director_notes_hold(sleep->notes, false);
	loop_timer_close(&sleep->timer);
	mem_free(sleep_p);
}
