/* slow_disk.c - a disk that takes its time: what is written to a file is half there for $SLOW_DISK_MS
 * before the rest comes, and rename() waits as long. For tests that kill a daemon: at a random instant the
 * kill then falls into a write. Standard output and error are as fast as ever. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void take_time(void)
{
	const char *ms = getenv("SLOW_DISK_MS");

	usleep(ms ? (useconds_t)atoi(ms) * 1000 : 0);
}

ssize_t write(int fd, const void *buf, size_t len)
{
	ssize_t first, rest;
	struct stat st;

	if (fd <= STDERR_FILENO || len < 2 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return syscall(SYS_write, fd, buf, len);
	first = syscall(SYS_write, fd, buf, len / 2);
	if (first < 0)
		return first;
	take_time();
	rest = syscall(SYS_write, fd, (const char *)buf + first, len - (size_t)first);
	return rest < 0 ? first : first + rest;
}

int rename(const char *from, const char *to)
{
	take_time();
	return (int)syscall(SYS_renameat2, -100 /* AT_FDCWD */, from, -100, to, 0);
}
