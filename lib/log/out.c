#include "lib/log/out.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

static atomic_uint lost;
static atomic_int reason;
static atomic_bool works, torn[LOG_FILES];

static size_t write_all(int fd, const char *data, size_t len)
{
	size_t done = 0;
	ssize_t sent;

	while (done < len) {
		sent = write(fd, data + done, len - done);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			break;
		done += (size_t)sent;
	}
	return done;
}

static unsigned count_lines(const char *data, size_t len)
{
	unsigned lines = 0;
	size_t i;

	for (i = 0; i < len; i++)
		lines += data[i] == '\n';
	return lines;
}

void log_out_write(enum log_file file, int fd, const char *data, size_t len)
{
	size_t done = 0;

	if (len == 0)
		return;
	if (!atomic_load(&torn[file]) || write_all(fd, "\n", 1) == 1) {
		atomic_store(&torn[file], false);
		done = write_all(fd, data, len);
	}
	atomic_store(&works, done == len);
	if (done == len)
		return;
	atomic_store(&reason, errno);
	if (done > 0 && data[done - 1] != '\n')
		atomic_store(&torn[file], true);
	atomic_fetch_add(&lost, count_lines(data + done, len - done));
}

unsigned log_out_lost(int *reason_r)
{
	if (atomic_load_explicit(&lost, memory_order_relaxed) == 0 ||
	    !atomic_load(&works))
		return 0;
	*reason_r = atomic_load(&reason);
	return atomic_exchange(&lost, 0);
}
