/* file.c - files that must survive a crash.
 *
 * A write goes to PATH.tmp and takes the place of PATH by rename once it is on disk: whoever reads,
 * and whoever starts after kill -9 or a power cut, finds the old content or the new. What is read
 * back is believed only if the container's hash fits:
 *
 *	 0 "weft-state"  10 bytes
 *	10 kind          16 bytes, padded with NUL
 *	26 format        16 bits, network order as all here
 *	28 length        64 bits, of the body
 *	36 hash          16 bytes, BLAKE2b over all before it and the body
 *	52 body
 *
 * The hash tells torn from whole; it keeps no attacker out, file modes do that. A file is judged in
 * the order: weft's at all, whole, of this kind, of a known format, so that each gets its own word.
 *
 * Bounds: LIM_STATE_BYTES. Failure: every error is returned, none leaves a half-written PATH.
 * Buffers may have held secrets and are wiped. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "file.h"
#include "weft/bounds.h"
#include "weft/buf.h"
#include "weft/err.h"

#define MAGIC         "weft-state"
#define MAGIC_LEN     10
#define KIND_LEN      16
#define HASH_OFF      36
#define HASH_LEN      16
#define HDR_LEN       52
#define ASIDE_MAX     8
#define READ_AT_LEAST 4096
#define LOCK_LOOK_US  50000

static void wipe_free(char *buf, size_t cap)
{
	if (buf)
		sodium_memzero(buf, cap);
	free(buf);
}

/* As realloc, but the old place is wiped. NULL: @buf stands. */
static char *grow(char *buf, size_t cap, size_t new_cap)
{
	char *bigger = malloc(new_cap);

	if (!bigger)
		return NULL;
	memcpy(bigger, buf, cap);
	wipe_free(buf, cap);
	return bigger;
}

int file_read(const char *path, size_t max, char **out, size_t *len)
{
	size_t cap = READ_AT_LEAST, n = 0;
	char *buf = NULL;
	struct stat st;
	int err, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* The size is a hint: pipes have none, and files grow. */
	if (fstat(fd, &st) == 0 && st.st_size > 0 && (uint64_t)st.st_size <= max)
		cap = (size_t)st.st_size + 2; /* one to find the end, one for the NUL */
	buf = malloc(cap);
	if (!buf) {
		err = ERR_NOMEM;
		goto out;
	}
	for (;;) {
		ssize_t got = read(fd, buf + n, cap - n - 1);
		if (got < 0) {
			if (errno == EINTR)
				continue;
			err = -errno;
			goto out;
		}
		n += (size_t)got;
		if (n > max) {
			err = ERR_LIMIT;
			goto out;
		}
		if (got == 0)
			break;
		if (n + 1 == cap) {
			char *bigger = grow(buf, cap, 2 * cap);
			if (!bigger) {
				err = ERR_NOMEM;
				goto out;
			}
			buf = bigger;
			cap *= 2;
		}
	}
	buf[n] = '\0';
	*out = buf;
	*len = n;
	buf = NULL;
	err = 0;
out:
	wipe_free(buf, cap);
	close(fd);
	return err;
}

/* Make the directory entry of @path durable. */
static int sync_dir(const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd, err = 0, n;

	if (!slash)
		n = snprintf(dir, sizeof(dir), ".");
	else
		n = snprintf(
			dir, sizeof(dir), "%.*s", (int)(slash == path ? 1 : slash - path), path);
	if (n >= (int)sizeof(dir))
		return -ENAMETOOLONG;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Some file systems can't sync a directory: then there is nothing to wait for. */
	if (fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP)
		err = -errno;
	close(fd);
	return err;
}

static int write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* @wait: until the disk has it. */
static int write_whole(const char *path, const void *buf, size_t len, mode_t mode, bool wait)
{
	char tmp[PATH_MAX];
	int fd, err;

	if (snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	/* What a killed writer left; made anew, so that neither its mode nor a link planted there
	 * counts. */
	if (unlink(tmp) < 0 && errno != ENOENT)
		return -errno;
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0600);
	if (fd < 0)
		return -errno;
	err = fchmod(fd, mode) < 0 ? -errno : 0;
	if (!err)
		err = write_all(fd, buf, len);
	if (!err && wait && fsync(fd) < 0)
		err = -errno;
	if (close(fd) < 0 && !err)
		err = -errno;
	if (!err && rename(tmp, path) < 0)
		err = -errno;
	if (err) {
		unlink(tmp);
		return err;
	}
	return wait ? sync_dir(path) : 0;
}

int file_write_atomic(const char *path, const void *buf, size_t len, mode_t mode)
{
	return write_whole(path, buf, len, mode, true);
}

/* The hash of a container of @len body bytes. */
static void container_hash(const uint8_t *c, size_t len, uint8_t out[HASH_LEN])
{
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, HASH_LEN);
	crypto_generichash_update(&st, c, HASH_OFF);
	crypto_generichash_update(&st, c + HDR_LEN, len);
	crypto_generichash_final(&st, out, HASH_LEN);
	sodium_memzero(&st, sizeof(st));
}

static int write_container(
	const char *path, const char *kind, uint16_t format, const void *buf, size_t len, bool wait)
{
	uint8_t *c;
	struct wr w;
	int err;

	assert(*kind && strlen(kind) <= FILE_KIND_MAX);
	if (len > LIM_STATE_BYTES)
		return ERR_LIMIT;
	c = malloc(HDR_LEN + len);
	if (!c)
		return ERR_NOMEM;
	wr_init(&w, c, HDR_LEN + len);
	wr_copy(&w, MAGIC, MAGIC_LEN);
	wr_copy(&w, kind, strlen(kind));
	wr_zero(&w, KIND_LEN - strlen(kind));
	wr_u16(&w, format);
	wr_u64(&w, len);
	wr_zero(&w, HASH_LEN);
	wr_copy(&w, buf, len);
	assert(!wr_bad(&w) && wr_left(&w) == 0);
	container_hash(c, len, c + HASH_OFF);
	err = write_whole(path, c, HDR_LEN + len, 0600, wait);
	wipe_free((char *)c, HDR_LEN + len);
	return err;
}

int file_state_write(
	const char *path, const char *kind, uint16_t format, const void *buf, size_t len)
{
	return write_container(path, kind, format, buf, len, true);
}

int file_state_hint(
	const char *path, const char *kind, uint16_t format, const void *buf, size_t len)
{
	return write_container(path, kind, format, buf, len, false);
}

/* Judge @len bytes at @c; 0 and *@format, or the error. */
static int container_check(
	const uint8_t *c, size_t len, const char *kind, uint16_t max_format, uint16_t *format)
{
	char want_kind[KIND_LEN] = {0}, got_kind[KIND_LEN];
	uint8_t hash[HASH_LEN];
	uint64_t body_len;
	struct rd r;

	/* A file cut within the first word may still be one of ours, an empty one too. */
	if (memcmp(c, MAGIC, len < MAGIC_LEN ? len : MAGIC_LEN) != 0)
		return ERR_FOREIGN;
	rd_init(&r, c, len);
	rd_take(&r, MAGIC_LEN);
	rd_copy(&r, got_kind, KIND_LEN);
	*format = rd_u16(&r);
	body_len = rd_u64(&r);
	rd_take(&r, HASH_LEN);
	if (rd_bad(&r) || body_len != rd_left(&r))
		return ERR_CORRUPT;
	container_hash(c, (size_t)body_len, hash);
	if (memcmp(hash, c + HASH_OFF, HASH_LEN) != 0)
		return ERR_CORRUPT;
	memcpy(want_kind, kind, strlen(kind));
	if (memcmp(got_kind, want_kind, KIND_LEN) != 0)
		return ERR_FOREIGN;
	return *format > max_format ? ERR_VERSION : 0;
}

int file_state_read(const char *path, const char *kind, uint16_t max_format, uint16_t *format,
	char **out, size_t *len)
{
	uint16_t got_format;
	size_t n;
	char *c;
	int err;

	assert(*kind && strlen(kind) <= FILE_KIND_MAX);
	err = file_read(path, (size_t)LIM_STATE_BYTES + HDR_LEN, &c, &n);
	if (err)
		return err;
	err = container_check((const uint8_t *)c, n, kind, max_format, &got_format);
	if (err) {
		wipe_free(c, n);
		return err;
	}
	memmove(c, c + HDR_LEN, n - HDR_LEN + 1); /* the NUL too */
	*out = c;
	*len = n - HDR_LEN;
	*format = got_format;
	return 0;
}

static bool older(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

int file_set_aside(const char *path, char *new_path, size_t cap)
{
	struct timespec oldest = {0};
	int pick = 0;
	size_t n;

	/* The change time is when it was set aside: rename leaves the modification time alone. */
	for (int i = 1; i <= ASIDE_MAX; i++) {
		struct stat st;
		n = (size_t)snprintf(new_path, cap, "%s.bad-%d", path, i);
		if (n >= cap)
			return -ENAMETOOLONG;
		if (lstat(new_path, &st) < 0) {
			if (errno != ENOENT)
				return -errno;
			pick = i;
			break;
		}
		if (pick == 0 || older(st.st_ctim, oldest)) {
			pick = i;
			oldest = st.st_ctim;
		}
	}
	snprintf(new_path, cap, "%s.bad-%d", path, pick);
	if (rename(path, new_path) < 0)
		return -errno;
	return sync_dir(path);
}

static int make_one(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int file_mkdir(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	int err;

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return -ENAMETOOLONG;
	for (char *s = strchr(part + (part[0] == '/'), '/'); s; s = strchr(s + 1, '/')) {
		*s = '\0';
		err = make_one(part, 0755);
		if (err)
			return err;
		*s = '/';
	}
	return make_one(part, mode);
}

/* The pid that the holder wrote, or 0. */
static pid_t read_holder(int fd)
{
	char text[16];
	long pid = 0;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n > 0) {
		text[n] = '\0';
		pid = strtol(text, NULL, 10);
	}
	return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

/* Is @fd still what stands at @path? */
static bool is_at(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Lock @fd; with a @deadline_ms, wait for it (signals end a wait, and it begins anew). */
static int lock_fd(int fd, uint64_t deadline_ms, pid_t *holder)
{
	/* A lock of the open file, not of the process: another close() in this process doesn't drop
	 * it, and two locks of one process exclude each other too. */
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	while (fcntl(fd, deadline_ms ? F_OFD_SETLKW : F_OFD_SETLK, &fl) < 0) {
		int err = -errno;

		if (err == -EINTR && now_ms() < deadline_ms)
			continue;
		if (err != -EAGAIN && err != -EACCES && err != -EINTR)
			return err;
		*holder = read_holder(fd);
		return ERR_BUSY;
	}
	return 0;
}

/* @deadline_ms 0: don't wait. */
static int lock_path(const char *path, uint64_t deadline_ms, pid_t *holder)
{
	char text[16];
	int fd, err, n;

	*holder = 0;
	for (;;) {
		fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return -errno;
		err = lock_fd(fd, deadline_ms, holder);
		if (err) {
			close(fd);
			return err;
		}
		/* It may have been removed between open and lock: then we hold nothing. */
		if (is_at(fd, path))
			break;
		close(fd);
	}
	/* For the message of the next one only, so a full disk is no reason to fail. */
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) != n)
		err = ftruncate(fd, 0);
	return fd;
}

int file_lock(const char *path, pid_t *holder)
{
	return lock_path(path, 0, holder);
}

static void on_alarm(int sig)
{
	(void)sig; /* it has ended the wait */
}

int file_lock_wait(const char *path, unsigned timeout_ms, pid_t *holder)
{
	const struct sigaction act = {.sa_handler = on_alarm}; /* no SA_RESTART */
	struct itimerval was, t = {.it_value = {timeout_ms / 1000, timeout_ms % 1000 * 1000},
				      /* One that comes before the wait begins is lost. */
				      .it_interval = {0, LOCK_LOOK_US}};
	struct sigaction old;
	int fd;

	if (timeout_ms == 0)
		return lock_path(path, 0, holder);
	if (sigaction(SIGALRM, &act, &old) < 0)
		return -errno;
	(void)setitimer(ITIMER_REAL, &t, &was);
	fd = lock_path(path, now_ms() + timeout_ms, holder);
	(void)setitimer(ITIMER_REAL, &was, NULL);
	(void)sigaction(SIGALRM, &old, NULL);
	return fd;
}

int file_boot_id(uint8_t out[FILE_BOOT_ID])
{
	char *text, pair[3] = "";
	size_t len, n = 0;
	int err = file_read("/proc/sys/kernel/random/boot_id", 256, &text, &len);

	if (err)
		return err;
	for (const char *s = text; *s && n < 2 * FILE_BOOT_ID; s++) {
		if (!strchr("0123456789abcdef", *s))
			continue;
		pair[n % 2] = *s;
		if (n++ % 2)
			out[n / 2 - 1] = (uint8_t)strtoul(pair, NULL, 16);
	}
	free(text);
	return n == 2 * FILE_BOOT_ID ? 0 : ERR_MALFORMED;
}
