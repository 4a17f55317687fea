#include "deliver/crew_counts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log/log.h"

const char *crew_end_name(enum crew_end end)
{
	static const char *const names[CREW_ENDS] = {
		[CREW_END_WELL] = "well",
		[CREW_END_TIMED_OUT] = "timed_out",
		[CREW_END_KILLED] = "killed",
		[CREW_END_FAILED] = "failed",
	};

	return names[end];
}

/* The same file, to be read alone; without a /proc, nothing but good will keeps a worker
 * process from writing there. */
static int open_reader(int fd)
{
	char own[32];
	int reader;

	snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
	reader = open(own, O_RDONLY | O_CLOEXEC);
	return reader >= 0 ? reader : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

int crew_counts_open(int fds_r[2], struct err *err)
{
	fds_r[0] = memfd_create("waypost counts", MFD_CLOEXEC);
	if (fds_r[0] < 0)
		return err_set(err, "memfd_create: %s", strerror(errno));
	/* Else anybody could open it once more. */
	if (fchmod(fds_r[0], 0600) == 0) {
		fds_r[1] = open_reader(fds_r[0]);
		if (fds_r[1] >= 0)
			return 0;
	}
	err_put(err, "counts of deliveries: %s", strerror(errno));
	close(fds_r[0]);
	return -1;
}

void crew_counts_write(int fd, const struct crew_counts *counts)
{
	if (pwrite(fd, counts, sizeof(*counts), 0) < 0)
		log_error(NULL, "counts of deliveries: %s", strerror(errno));
}

void crew_counts_read(int fd, struct crew_counts *counts_r)
{
	if (fd < 0 || pread(fd, counts_r, sizeof(*counts_r), 0) !=
			      (ssize_t)sizeof(*counts_r))
		memset(counts_r, 0, sizeof(*counts_r));
}
