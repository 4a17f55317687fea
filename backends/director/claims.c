#include "backends/director/claims.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdalign.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"

#define SHARDS 64
#define PLACES (DIRECTOR_CLAIMS_ROOM / SHARDS) /* one of them stays free */

struct claim {
	uint64_t key, server;
	uint32_t processes; /* bits; 0: the place is free */
};

struct shard {
	alignas(64) pthread_mutex_t lock;
	uint32_t count;
};

struct shared {
	struct shard shards[SHARDS];
	struct claim places[SHARDS][PLACES];
};

/* That a process lives is known by a lock that it has on one byte of the memory. */
struct director_claims {
	int fd;
	struct shared *shared;
	uint32_t self; /* its bit */
};

/* --- making --- */

static int init_locks(struct shared *shared)
{
	pthread_mutexattr_t attr;
	int i, error = pthread_mutexattr_init(&attr);

	if (error == 0)
		error = pthread_mutexattr_setpshared(&attr,
						     PTHREAD_PROCESS_SHARED);
	if (error == 0)
		error = pthread_mutexattr_setrobust(&attr,
						    PTHREAD_MUTEX_ROBUST);
	for (i = 0; error == 0 && i < SHARDS; i++)
		error = pthread_mutex_init(&shared->shards[i].lock, &attr);
	return error;
}

static struct shared *map(int fd)
{
	void *shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);

	return shared != MAP_FAILED ? shared : NULL;
}

static int set_up(int fd)
{
	struct shared *shared;

	if (ftruncate(fd, sizeof(struct shared)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return errno;
	shared = map(fd);
	if (shared == NULL)
		return errno;
	errno = init_locks(shared);
	munmap(shared, sizeof(*shared));
	return errno;
}

int director_claims_make(struct err *err)
{
	int fd = memfd_create("waypost users", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error = fd < 0 ? errno : set_up(fd);

	if (error == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return err_set(err, "%zu bytes of memory that worker processes share: %s",
		       sizeof(struct shared), strerror(error));
}

/* --- places --- */

static uint64_t spread(uint64_t key)
{
	key *= UINT64_C(0x9e3779b97f4a7c15);
	return key ^ key >> 32;
}

static unsigned shard_of(uint64_t key)
{
	return spread(key) % SHARDS;
}

static unsigned home_of(uint64_t key)
{
	return spread(key) / SHARDS % PLACES;
}

/* Its holder has died at it: what stands there may be half of a change. */
static void mend(struct shared *shared, unsigned number)
{
	struct shard *shard = &shared->shards[number];

	memset(shared->places[number], 0, sizeof(shared->places[number]));
	shard->count = 0;
	pthread_mutex_consistent(&shard->lock);
}

static struct claim *lock(struct shared *shared, unsigned number)
{
	if (pthread_mutex_lock(&shared->shards[number].lock) == EOWNERDEAD)
		mend(shared, number);
	return shared->places[number];
}

static void unlock(struct shared *shared, unsigned number)
{
	pthread_mutex_unlock(&shared->shards[number].lock);
}

/* Where the key stands, or would: a free place. */
static struct claim *find(struct claim *places, uint64_t key)
{
	unsigned i = home_of(key);

	while (places[i].processes != 0 && places[i].key != key)
		i = (i + 1) % PLACES;
	return &places[i];
}

/* Those behind it that have been pushed there take its place. */
static void drop(struct shard *shard, struct claim *places, unsigned hole)
{
	unsigned i = (hole + 1) % PLACES;

	for (; places[i].processes != 0; i = (i + 1) % PLACES) {
		unsigned pushed = (i + PLACES - home_of(places[i].key)) % PLACES;

		if (pushed < (i + PLACES - hole) % PLACES)
			continue;
		places[hole] = places[i];
		hole = i;
	}
	places[hole].processes = 0;
	shard->count--;
}

/* --- taking and giving --- */

static enum director_claim settle(struct director_claims *claims,
				  struct shard *shard, struct claim *claim,
				  uint64_t key, uint64_t server)
{
	if (claim->processes == 0 && ++shard->count == PLACES) {
		shard->count--;
		return DIRECTOR_CLAIM_UNSEEN;
	}
	claim->key = key;
	claim->server = server;
	claim->processes |= claims->self;
	return DIRECTOR_CLAIM_TAKEN;
}

enum director_claim director_claims_take(struct director_claims *claims,
					 uint64_t key, uint64_t server,
					 uint64_t *where_r)
{
	struct shared *shared = claims->shared;
	unsigned number = shard_of(key);
	struct claim *claim = find(lock(shared, number), key);
	enum director_claim got = DIRECTOR_CLAIM_ELSEWHERE;

	*where_r = claim->server;
	if ((claim->processes & ~claims->self) == 0 || claim->server == server)
		got = settle(claims, &shared->shards[number], claim, key,
			     server);
	unlock(shared, number);
	return got;
}

enum director_claim director_claims_seize(struct director_claims *claims,
					  uint64_t key, uint64_t server)
{
	struct shared *shared = claims->shared;
	unsigned number = shard_of(key);
	struct claim *claim = find(lock(shared, number), key);
	enum director_claim got;

	if (claim->processes != 0)
		claim->processes = claims->self;
	got = settle(claims, &shared->shards[number], claim, key, server);
	unlock(shared, number);
	return got;
}

uint64_t director_claims_count(struct director_claims *claims)
{
	struct shared *shared = claims->shared;
	uint64_t count = 0;
	unsigned i;

	for (i = 0; i < SHARDS; i++) {
		lock(shared, i);
		count += shared->shards[i].count;
		unlock(shared, i);
	}
	return count;
}

bool director_claims_find(struct director_claims *claims, uint64_t key,
			  uint64_t *where_r)
{
	struct shared *shared = claims->shared;
	unsigned number = shard_of(key);
	const struct claim *claim = find(lock(shared, number), key);
	bool found = (claim->processes & ~claims->self) != 0;

	*where_r = claim->server;
	unlock(shared, number);
	return found;
}

/* Of the processes whose bits are set. */
static void forget(struct shard *shard, struct claim *places,
		   struct claim *claim, uint32_t processes)
{
	if ((claim->processes & processes) == claim->processes)
		drop(shard, places, (unsigned)(claim - places));
	else
		claim->processes &= ~processes;
}

void director_claims_give(struct director_claims *claims, uint64_t key)
{
	struct shared *shared = claims->shared;
	unsigned number = shard_of(key);
	struct claim *places = lock(shared, number);
	struct claim *claim = find(places, key);

	if (claim->processes & claims->self)
		forget(&shared->shards[number], places, claim, claims->self);
	unlock(shared, number);
}

/* --- processes --- */

static bool lock_byte(const struct director_claims *claims, int number,
		      short type)
{
	struct flock byte = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = number,
		.l_len = 1,
	};

	return fcntl(claims->fd, F_SETLK, &byte) == 0;
}

static void forget_shard(struct director_claims *claims, unsigned number,
			 uint32_t process)
{
	struct shared *shared = claims->shared;
	struct claim *places = lock(shared, number);
	unsigned i = 0;

	while (shared->shards[number].count > 0 && i < PLACES) {
		/* Another one may take its place. */
		if (places[i].processes & process)
			forget(&shared->shards[number], places, &places[i],
			       process);
		if ((places[i].processes & process) == 0)
			i++;
	}
	unlock(shared, number);
}

static void forget_process(struct director_claims *claims, uint32_t process)
{
	unsigned i;

	for (i = 0; i < SHARDS; i++)
		forget_shard(claims, i, process);
}

/* Nobody takes the number of a dead one meanwhile. */
void director_claims_bury(struct director_claims *claims)
{
	int i;

	for (i = 0; i < DIRECTOR_CLAIMS_PROCESSES; i++) {
		uint32_t process = UINT32_C(1) << i;

		if (process == claims->self || !lock_byte(claims, i, F_WRLCK))
			continue;
		forget_process(claims, process);
		lock_byte(claims, i, F_UNLCK);
	}
}

static bool number_self(struct director_claims *claims)
{
	int i = 0;

	while (i < DIRECTOR_CLAIMS_PROCESSES && !lock_byte(claims, i, F_WRLCK))
		i++;
	if (i == DIRECTOR_CLAIMS_PROCESSES)
		return false;
	claims->self = UINT32_C(1) << i;
	forget_process(claims, claims->self);
	return true;
}

struct director_claims *director_claims_open(int fd, struct err *err)
{
	struct director_claims *claims;
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_size != sizeof(struct shared)) {
		err_put(err, "this is not what worker processes share");
		return NULL;
	}
	claims = mem_new(struct director_claims);
	claims->fd = fd;
	claims->shared = map(fd);
	if (claims->shared == NULL)
		err_put(err, "mmap: %s", strerror(errno));
	else if (!number_self(claims))
		err_put(err, "there are %d worker processes already",
			DIRECTOR_CLAIMS_PROCESSES);
	else
		director_claims_bury(claims);
	if (claims->self == 0)
		director_claims_close(&claims);
	return claims;
}

void director_claims_close(struct director_claims **claims_p)
{
	struct director_claims *claims = *claims_p;
	int i;

	if (claims == NULL)
		return;
	if (claims->self != 0)
		forget_process(claims, claims->self);
	for (i = 0; i < DIRECTOR_CLAIMS_PROCESSES; i++) {
		if (claims->self == UINT32_C(1) << i)
			lock_byte(claims, i, F_UNLCK);
	}
	if (claims->shared != NULL)
		munmap(claims->shared, sizeof(*claims->shared));
	mem_free(claims_p);
}
