/*
 * A wall clock that can be set while a program runs: LD_PRELOAD this, and the whole number of seconds in the file that
 * WALL_CLOCK_OFFSET names is added to CLOCK_REALTIME. Nothing else is touched: sleeps and CLOCK_MONOTONIC go on, as they
 * do when somebody sets a machine's clock. (Linux has no namespace for this clock, and a container may not set it.)
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t offset(void)
{
	static time_t read_at = -1, seconds;
	struct timespec now;
	FILE *file;
	long found;

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	if (now.tv_sec == read_at)
		return seconds;
	read_at = now.tv_sec;
	file = fopen(getenv("WALL_CLOCK_OFFSET"), "re");
	if (file) {
		if (fscanf(file, "%ld", &found) == 1)
			seconds = found;
		fclose(file);
	}
	return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *value)
{
	int result = syscall(SYS_clock_gettime, clock, value);

	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		value->tv_sec += offset();
	return result;
}

int gettimeofday(struct timeval *value, void *zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	value->tv_sec = now.tv_sec;
	value->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *value)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (value)
		*value = now.tv_sec;
	return now.tv_sec;
}
