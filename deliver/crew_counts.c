#include "deliver/crew_counts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
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

int crew_counts_open(int fds_r[2], struct err *err)
{
	fds_r[0] = memfd_create("waypost counts", MFD_CLOEXEC);
	if (fds_r[0] < 0)
		return err_set(err, "memfd_create: %s", strerror(errno));
	fds_r[1] = fcntl(fds_r[0], F_DUPFD_CLOEXEC, 0);
	if (fds_r[1] >= 0)
		return 0;
	err_put(err, "dup: %s", strerror(errno));
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
