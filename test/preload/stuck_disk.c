/* stuck_disk.c - a disk that stands still: fsync() returns when the file $STUCK_FILE is gone. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOK_US 20000

int fsync(int fd)
{
	const char *path = getenv("STUCK_FILE");

	while (path && access(path, F_OK) == 0)
		usleep(LOOK_US);
	return (int)syscall(SYS_fsync, fd);
}
