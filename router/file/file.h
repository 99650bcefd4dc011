/* file.h - state files: written whole, by atomic rename, so that kill -9 at any instant leaves the old
 * or the new one; a torn or foreign file is set aside with a clear word. */
#ifndef WEFT_FILE_H
#define WEFT_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Read @path, at most @max bytes, into a malloc'ed, NUL-terminated buffer (returns owned). -ENOENT and
 * other -errno; ERR_LIMIT: larger. */
int file_read(const char *path, size_t max, char **out, size_t *len);
/* Write to a temporary file beside it, fsync, rename, fsync the directory. -errno (ENOSPC leaves the
 * old file). */
int file_write_atomic(const char *path, const void *buf, size_t len, mode_t mode);
/* The same in weft's container: "weft-state", kind (up to 15 characters), format, length, BLAKE2b-128.
 * Read: ERR_CORRUPT (torn), ERR_FOREIGN (another kind, or not ours), ERR_VERSION. */
int file_state_write(const char *path, const char *kind, uint16_t format, const void *buf, size_t len);
int file_state_read(const char *path, const char *kind, uint16_t max_format, uint16_t *format,
	char **out, size_t *len);
/* Move a bad file to PATH.bad-N (N the first that is free, at most 8, then the oldest goes); @new_path
 * (PATH_MAX) gets the name. */
int file_set_aside(const char *path, char *new_path, size_t cap);
int file_mkdir(const char *path, mode_t mode); /* with parents; fine if it exists */
/* Take an exclusive lock on PATH (made, 0600), held until the fd closes. Returns the fd; ERR_BUSY with
 * the holder's pid in *@holder. */
int file_lock(const char *path, pid_t *holder);

#endif
