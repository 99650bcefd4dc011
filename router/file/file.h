/* file.h - state files: written whole, by atomic rename, so that kill -9 at any instant leaves the
 * old or the new one; a torn or foreign file is set aside with a clear word. */
#ifndef WEFT_FILE_H
#define WEFT_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Read @path, at most @max bytes, into a malloc'ed, NUL-terminated buffer (returns owned; *@len
 * without the NUL). Symbolic links and pipes are fine. -ENOENT and other -errno; ERR_LIMIT: larger;
 * ERR_NOMEM. */
int file_read(const char *path, size_t max, char **out, size_t *len);
/* Write to PATH.tmp, fsync, rename, fsync the directory. The file has exactly @mode, whatever the
 * umask. A leftover PATH.tmp is overwritten; two writers of one path at a time are the caller's to
 * prevent. -errno: the old file stands untouched (ENOSPC, EFBIG, ...), but for a failure of the
 * last fsync. */
int file_write_atomic(const char *path, const void *buf, size_t len, mode_t mode);

#define FILE_KIND_MAX 15
/* The same (0600) in weft's container: "weft-state", kind (ASCII, up to FILE_KIND_MAX characters),
 * format, length, BLAKE2b-128. ERR_LIMIT: more than LIM_STATE_BYTES, which a reader would refuse;
 * else as file_write_atomic. */
int file_state_write(
	const char *path, const char *kind, uint16_t format, const void *buf, size_t len);
/* The same for what costs nothing when it is lost: it doesn't wait for the disk. After a crash of the
 * machine (not of the program) the old file may stand there, or a torn one, which file_state_read sees. */
int file_state_hint(
	const char *path, const char *kind, uint16_t format, const void *buf, size_t len);
/* Read it back; *@out is as with file_read, *@format what was written. ERR_CORRUPT: torn or
 * changed; ERR_FOREIGN: another kind, or not weft's; ERR_VERSION: a format above @max_format; else
 * as file_read. Nothing is put out on failure. */
int file_state_read(const char *path, const char *kind, uint16_t max_format, uint16_t *format,
	char **out, size_t *len);
/* Move a bad file to PATH.bad-N (N the first that is free, at most 8, then the one set aside
 * longest ago goes); @new_path (PATH_MAX) gets the name. -errno; -ENAMETOOLONG: @cap too small. */
int file_set_aside(const char *path, char *new_path, size_t cap);
/* Make a directory of @mode, with parents (0755, and the umask); fine if it exists. -errno;
 * -ENOTDIR: something else stands there. */
int file_mkdir(const char *path, mode_t mode);
/* Take an exclusive lock on PATH (made, 0600), held until the fd closes; a forked child that keeps
 * the fd holds it too. Returns the fd (close-on-exec); -errno; ERR_BUSY with the holder's pid in
 * *@holder, 0 if it can't be told. */
int file_lock(const char *path, pid_t *holder);
/* The same, but wait for it, in the order in which the kernel hands it on, at most @timeout_ms; then
 * ERR_BUSY. Uses SIGALRM and the real interval timer meanwhile: for a program that doesn't. */
int file_lock_wait(const char *path, unsigned timeout_ms, pid_t *holder);

#define FILE_BOOT_ID 16 /* bytes */
/* The kernel's id of this boot (random(4)), by which a file written before a reboot is known. -errno;
 * ERR_MALFORMED: what the kernel says is no such id; ERR_NOMEM. */
int file_boot_id(uint8_t out[FILE_BOOT_ID]);

#endif
