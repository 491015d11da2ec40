/*
 * A clock of a process that is wrong, by as many microseconds as the file EAV_CLOCK_FILE says, which
 * may change at any time. For LD_PRELOAD. (libfaketime will not do: a process that the postmaster of
 * versions up to 15 starts in a signal handler keeps the true clock for ever.)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void open_clock(void)
{
	const char *name = getenv("EAV_CLOCK_FILE");
	int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	if (file < 0)
		return;
	void *memory = mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, file, 0);
	if (memory != MAP_FAILED)
		offset = memory;
	close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int result = (int)syscall(SYS_clock_gettime, clock, time);
	if (result != 0 || !offset || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
		return result;
	int64_t nanoseconds = time->tv_sec * INT64_C(1000000000) + time->tv_nsec + *offset * 1000;
	time->tv_sec = nanoseconds / INT64_C(1000000000);
	time->tv_nsec = nanoseconds % INT64_C(1000000000);
	return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	time->tv_sec = now.tv_sec;
	time->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *seconds)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (seconds)
		*seconds = now.tv_sec;
	return now.tv_sec;
}
