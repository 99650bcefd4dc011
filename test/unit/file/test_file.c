/* file: what stands on disk after every way a write can go wrong, and what a reader says to files that
 * are torn, foreign or newer.
 * wrap: fsync */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <sodium.h>
#include <cmocka.h>
#include "fault.h"
#include "file.h"
#include "prng.h"
#include "weft/bounds.h"
#include "weft/err.h"

static char dir[PATH_MAX];
static unsigned syncs;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
	syncs++;
	return __real_fsync(fd);
}

/* Valid for the next 63 calls. */
static const char *in_dir(const char *name)
{
	static char path[64][PATH_MAX + 64];
	static int turn;

	turn = (turn + 1) % 64;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/weft-test-file-XXXXXX");
	umask(077);
	return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
	char cmd[PATH_MAX + 16];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd);
}

static void put(const char *path, const void *buf, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(len, write(fd, buf, len));
	close(fd);
}

static void expect_content(const char *path, const void *want, size_t len)
{
	char *got;
	size_t n;

	assert_int_equal(0, file_read(path, 1 << 20, &got, &n));
	assert_int_equal(len, n);
	assert_memory_equal(want, got, len);
	free(got);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(0, stat(path, &st));
	return st.st_mode & 07777;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void test_read(void **state)
{
	const char *path = in_dir("read");
	char *buf = NULL, big[20000];
	int pipefd[2];
	char name[64];
	size_t len;

	assert_int_equal(-ENOENT, file_read(path, 10, &buf, &len));
	assert_int_equal(-EISDIR, file_read(dir, 10, &buf, &len));
	put(path, "0123456789", 10);
	assert_int_equal(ERR_LIMIT, file_read(path, 9, &buf, &len));
	assert_null(buf);
	assert_int_equal(0, file_read(path, 10, &buf, &len));
	assert_int_equal(10, len);
	assert_string_equal("0123456789", buf);
	free(buf);
	put(path, "", 0);
	assert_int_equal(0, file_read(path, 0, &buf, &len));
	assert_string_equal("", buf);
	free(buf);
	/* Files whose size is not known: a pipe (the shell's <(...)), /proc, /dev. */
	assert_int_equal(0, pipe(pipefd));
	memset(big, 'x', sizeof(big));
	assert_int_equal(sizeof(big), write(pipefd[1], big, sizeof(big)));
	close(pipefd[1]);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", pipefd[0]);
	assert_int_equal(0, file_read(name, sizeof(big), &buf, &len));
	assert_int_equal(sizeof(big), len);
	assert_memory_equal(big, buf, len);
	free(buf);
	close(pipefd[0]);
	assert_int_equal(0, file_read("/proc/self/status", 1 << 20, &buf, &len));
	assert_true(len > 0);
	free(buf);
	assert_int_equal(ERR_LIMIT, file_read("/dev/zero", 100000, &buf, &len));
}

static void test_write(void **state)
{
	const char *path = in_dir("write"), *tmp = in_dir("write.tmp");
	char longname[PATH_MAX + 16];

	assert_int_equal(0, file_write_atomic(path, "one", 3, 0640));
	assert_int_equal(0640, mode_of(path)); /* the umask is 077 */
	assert_int_equal(0, file_write_atomic(path, "longer", 6, 0600));
	assert_int_equal(0600, mode_of(path));
	expect_content(path, "longer", 6);
	assert_int_equal(0, file_write_atomic(path, NULL, 0, 0600));
	expect_content(path, "", 0);
	/* What a killed writer left, and what somebody planted, is not written through. */
	put(in_dir("victim"), "victim", 6);
	assert_int_equal(0, symlink(in_dir("victim"), tmp));
	assert_int_equal(0, file_write_atomic(path, "two", 3, 0600));
	expect_content(path, "two", 3);
	expect_content(in_dir("victim"), "victim", 6);
	put(tmp, "rest", 4);
	assert_int_equal(0, file_write_atomic(path, "three", 5, 0600));
	expect_content(path, "three", 5);
	assert_false(exists(tmp));

	assert_int_equal(-ENOENT, file_write_atomic(in_dir("no/such"), "x", 1, 0600));
	assert_int_equal(0, mkdir(in_dir("adir"), 0700));
	assert_int_equal(-EISDIR, file_write_atomic(in_dir("adir"), "x", 1, 0600));
	assert_false(exists(in_dir("adir.tmp")));
	memset(longname, 'n', sizeof(longname) - 1);
	longname[sizeof(longname) - 1] = '\0';
	assert_int_equal(-ENAMETOOLONG, file_write_atomic(longname, "x", 1, 0600));
	/* A bare name is in the working directory. */
	assert_int_equal(0, chdir(dir));
	assert_int_equal(0, file_write_atomic("bare", "x", 1, 0600));
	expect_content(in_dir("bare"), "x", 1);
	assert_int_equal(0, chdir("/"));
}

/* In a child: @body may use up limits and namespaces. Its exit status is the result. */
static int in_child(int (*body)(const char *path), const char *path)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(body(path));
	assert_int_equal(pid, waitpid(pid, &status, 0));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int too_big(const char *path)
{
	struct rlimit lim = {.rlim_cur = 1000, .rlim_max = 1000};
	static char big[2000];

	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &lim) < 0)
		return 2;
	return file_write_atomic(path, big, sizeof(big), 0600) == -EFBIG ? 0 : 1;
}

static void test_size_limit(void **state)
{
	const char *path = in_dir("limit");

	put(path, "old", 3);
	assert_int_equal(0, in_child(too_big, path));
	expect_content(path, "old", 3);
	assert_false(exists(in_dir("limit.tmp")));
}

/* A file system of 64 KiB of its own, in a mount namespace of its own. */
static int disk_full(const char *path)
{
	static char big[200000];
	char file[PATH_MAX], tmp[PATH_MAX], *got;
	size_t len;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("tmpfs", path, "tmpfs", 0, "size=64k") < 0)
		return 77;
	snprintf(file, sizeof(file), "%s/f", path);
	snprintf(tmp, sizeof(tmp), "%s/f.tmp", path);
	if (file_state_write(file, "test", 1, "old", 3) != 0)
		return 1;
	for (int i = 0; i < 3; i++) {
		uint16_t format;
		if (file_state_write(file, "test", 1, big, sizeof(big)) != -ENOSPC)
			return 2;
		if (access(tmp, F_OK) == 0)
			return 3;
		if (file_state_read(file, "test", 1, &format, &got, &len) != 0 || len != 3 ||
			memcmp(got, "old", 3) != 0)
			return 4;
		free(got);
	}
	/* The failed ones gave their space back. */
	return file_state_write(file, "test", 1, big, 30000) == 0 ? 0 : 5;
}

static void test_disk_full(void **state)
{
	const char *path = in_dir("small");
	int got;

	assert_int_equal(0, mkdir(path, 0700));
	got = in_child(disk_full, path);
	if (got == 77) {
		print_message("skipped: no right to mount\n");
		skip();
	}
	assert_int_equal(0, got);
}

static void test_alloc_faults(void **state)
{
	const char *path = in_dir("nomem");

	FAULT_EACH(n)
	{
		char *got = NULL;
		uint16_t format;
		size_t len;
		int err = file_state_write(path, "test", 1, "body", 4);
		assert_true(err == 0 || err == ERR_NOMEM);
		if (err)
			continue;
		err = file_state_read(path, "test", 1, &format, &got, &len);
		assert_true(err == 0 || err == ERR_NOMEM);
		assert_int_equal(err == 0, got != NULL);
		free(got);
	}
	FAULT_EACH(n)
	{
		char *got = NULL;
		size_t len;
		int err = file_read("/proc/self/smaps", 1 << 24, &got, &len); /* grows */
		assert_true(err == 0 || err == ERR_NOMEM);
		assert_int_equal(err == 0, got != NULL);
		free(got);
	}
}

static int state_read(const char *path, const char *kind, uint16_t max)
{
	char *got;
	uint16_t format;
	size_t len;
	int err = file_state_read(path, kind, max, &format, &got, &len);

	if (!err)
		free(got);
	return err;
}

static void test_container(void **state)
{
	const char *path = in_dir("state"), *bad = in_dir("state.damaged");
	char *whole, *got;
	uint16_t format;
	size_t n, len;

	assert_int_equal(-ENOENT, state_read(path, "test", 1));
	assert_int_equal(0, file_state_write(path, "test", 7, "the body\0", 9));
	assert_int_equal(0600, mode_of(path));
	assert_int_equal(0, file_state_read(path, "test", 9, &format, &got, &len));
	assert_int_equal(7, format);
	assert_int_equal(9, len);
	assert_memory_equal("the body\0", got, 10);
	free(got);
	assert_int_equal(ERR_VERSION, state_read(path, "test", 6));
	assert_int_equal(0, state_read(path, "test", 7));
	assert_int_equal(ERR_FOREIGN, state_read(path, "tes", 9));
	assert_int_equal(ERR_FOREIGN, state_read(path, "test2", 9));
	assert_int_equal(
		ERR_LIMIT, file_state_write(path, "test", 1, "", (size_t)LIM_STATE_BYTES + 1));

	/* Cut at every length: torn. One byte more: torn. */
	assert_int_equal(0, file_read(path, 1000, &whole, &n));
	for (size_t cut = 0; cut < n; cut++) {
		put(bad, whole, cut);
		assert_int_equal(ERR_CORRUPT, state_read(bad, "test", 9));
	}
	put(bad, whole, n + 1); /* the NUL of file_read */
	assert_int_equal(ERR_CORRUPT, state_read(bad, "test", 9));
	/* Each bit flipped: never believed. */
	for (size_t bit = 0; bit < n * 8; bit++) {
		whole[bit / 8] ^= (char)(1 << bit % 8);
		put(bad, whole, n);
		assert_int_equal(bit < 80 ? ERR_FOREIGN : ERR_CORRUPT, state_read(bad, "test", 9));
		whole[bit / 8] ^= (char)(1 << bit % 8);
	}
	put(bad, whole, n);
	assert_int_equal(0, state_read(bad, "test", 9));
	free(whole);

	put(bad, "{\"some\": \"json\"}", 16);
	assert_int_equal(ERR_FOREIGN, state_read(bad, "test", 9));
	put(bad, "weft-tate", 9);
	assert_int_equal(ERR_FOREIGN, state_read(bad, "test", 9));

	assert_int_equal(0, file_state_write(path, "fifteen-letters", 0, NULL, 0));
	assert_int_equal(0, file_state_read(path, "fifteen-letters", 0, &format, &got, &len));
	assert_int_equal(0, len);
	assert_string_equal("", got);
	free(got);
}

/* What may be lost is written whole, too, and the disk isn't waited for. */
static void test_hint(void **state)
{
	const char *path = in_dir("hint");
	uint16_t format;
	size_t len;
	char *buf;

	(void)state;
	syncs = 0;
	assert_int_equal(0, file_state_write(path, "test", 1, "first", 5));
	assert_int_equal(syncs, 2); /* the file, the directory */
	assert_int_equal(0, file_state_hint(path, "test", 1, "second", 6));
	assert_int_equal(syncs, 2);
	assert_int_equal(0, file_state_read(path, "test", 1, &format, &buf, &len));
	assert_int_equal(len, 6);
	assert_memory_equal(buf, "second", 6);
	free(buf);
	assert_int_equal(-ENOENT, file_state_hint(in_dir("no/such"), "test", 1, "", 0));
	assert_int_equal(
		ERR_LIMIT, file_state_hint(path, "test", 1, "", (size_t)LIM_STATE_BYTES + 1));
}

static void test_set_aside(void **state)
{
	const char *path = in_dir("aside");
	char to[PATH_MAX], want[PATH_MAX + 80], content[16];

	assert_int_equal(-ENOENT, file_set_aside(path, to, sizeof(to)));
	for (int i = 1; i <= 8; i++) {
		snprintf(content, sizeof(content), "bad %d", i);
		put(path, content, strlen(content));
		assert_int_equal(0, file_set_aside(path, to, sizeof(to)));
		snprintf(want, sizeof(want), "%s.bad-%d", path, i);
		assert_string_equal(want, to);
		assert_false(exists(path));
		/* Change times have the clock's grain; the order counts below. */
		nanosleep(&(struct timespec){.tv_nsec = 12000000}, NULL);
	}
	/* A gap is filled first, then the one set aside longest ago goes. */
	snprintf(want, sizeof(want), "%s.bad-5", path);
	unlink(want);
	put(path, "bad 9", 5);
	assert_int_equal(0, file_set_aside(path, to, sizeof(to)));
	assert_string_equal(want, to);
	for (int i = 1; i <= 3; i++) {
		nanosleep(&(struct timespec){.tv_nsec = 12000000}, NULL);
		put(path, "new", 3);
		assert_int_equal(0, file_set_aside(path, to, sizeof(to)));
		snprintf(want, sizeof(want), "%s.bad-%d", path, i);
		assert_string_equal(want, to);
		expect_content(to, "new", 3);
	}
	put(path, "x", 1);
	assert_int_equal(-ENAMETOOLONG, file_set_aside(path, to, strlen(path) + 6));
	assert_true(exists(path));
}

static void test_mkdir(void **state)
{
	assert_int_equal(0, file_mkdir(in_dir("a/b//c"), 0750));
	assert_int_equal(0750 & ~077, mode_of(in_dir("a/b/c")));
	assert_int_equal(0, file_mkdir(in_dir("a/b/c"), 0750));
	assert_int_equal(0, file_mkdir(in_dir("a/b/d/"), 0700));
	put(in_dir("plain"), "", 0);
	assert_int_equal(-ENOTDIR, file_mkdir(in_dir("plain"), 0700));
	assert_int_equal(-ENOTDIR, file_mkdir(in_dir("plain/x"), 0700));
	assert_int_equal(-ENOENT, file_mkdir("", 0700));
	assert_int_equal(0, file_mkdir("/", 0700));
}

static int try_lock(const char *path)
{
	pid_t holder;
	int fd = file_lock(path, &holder);

	return fd == ERR_BUSY && holder == getppid() ? 0 : fd >= 0 ? 1 : 2;
}

static void test_lock(void **state)
{
	const char *path = in_dir("lock");
	pid_t holder, child;
	int fd = file_lock(path, &holder), fds[2], status;
	char c;

	assert_true(fd >= 0);
	assert_int_equal(0600, mode_of(path));
	assert_int_equal(0, in_child(try_lock, path));
	assert_int_equal(ERR_BUSY, file_lock(path, &holder));
	assert_int_equal(getpid(), holder);
	/* Somebody removes the file: a new lock is a lock on what stands there then. */
	assert_int_equal(0, unlink(path));
	close(fd);
	fd = file_lock(path, &holder);
	assert_true(fd >= 0);
	assert_int_equal(0, in_child(try_lock, path));
	close(fd);
	assert_int_equal(1, in_child(try_lock, path));

	/* kill -9 of the holder frees it. */
	assert_int_equal(0, pipe(fds));
	child = fork();
	if (child == 0) {
		fd = file_lock(path, &holder);
		(void)!write(fds[1], fd >= 0 ? "y" : "n", 1);
		pause();
	}
	assert_int_equal(1, read(fds[0], &c, 1));
	assert_int_equal('y', c);
	assert_int_equal(ERR_BUSY, file_lock(path, &holder));
	assert_int_equal(child, holder);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	fd = file_lock(path, &holder);
	assert_true(fd >= 0);
	close(fd);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(-ENOENT, file_lock(in_dir("no/such"), &holder));
	/* Waiting: in vain while somebody holds it, until it is free. */
	fd = file_lock(path, &holder);
	assert_int_equal(ERR_BUSY, file_lock_wait(path, 30, &holder));
	assert_int_equal(getpid(), holder);
	assert_int_equal(ERR_BUSY, file_lock_wait(path, 0, &holder));
	child = fork();
	if (child == 0) {
		close(fd); /* else it would hold it too */
		_exit(file_lock_wait(path, 30000, &holder) >= 0 ? 0 : 1);
	}
	close(fd);
	assert_int_equal(child, waitpid(child, &status, 0));
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(-ENOENT, file_lock_wait(in_dir("no/such"), 30, &holder));
	/* A holder that wrote nonsense. */
	put(path, "junk", 4);
	fd = open(path, O_RDWR);
	assert_int_equal(0, fcntl(fd, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK}));
	assert_int_equal(ERR_BUSY, file_lock(path, &holder));
	assert_int_equal(0, holder);
	close(fd);
}

/* Writes numbered states until it is killed: each has one repeated byte, and a length that follows
 * from it, so a mix of two can't pass. */
static void write_forever(const char *path, int ready)
{
	static char body[70000];

	for (unsigned i = 0;; i++) {
		size_t len = 1 + (i % 250) * 256;
		memset(body, (int)(i % 250), len);
		if (file_state_write(path, "test", 1, body, len) != 0)
			_exit(1);
		if (i == 0)
			(void)!write(ready, "r", 1);
	}
}

static void test_kill(void **state)
{
	const char *path = in_dir("killed");
	struct prng r;

	prng_seed(&r, 99);
	for (int round = 0; round < 60; round++) {
		int fds[2], status;
		uint16_t format;
		char c, *got;
		size_t len;
		pid_t pid;
		assert_int_equal(0, pipe(fds));
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			write_forever(path, fds[1]);
		assert_int_equal(1, read(fds[0], &c, 1));
		nanosleep(&(struct timespec){.tv_nsec = (long)prng_below(&r, 10000000)}, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(pid, waitpid(pid, &status, 0));
		assert_true(WIFSIGNALED(status));
		close(fds[0]);
		close(fds[1]);
		if (file_state_read(path, "test", 1, &format, &got, &len) != 0)
			fail_msg("torn in round %d (seed 99)", round);
		assert_int_equal(len, 1 + (uint8_t)got[0] * 256);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(got[0], got[i]);
		free(got);
	}
}

static void test_boot_id(void **state)
{
	uint8_t a[FILE_BOOT_ID] = {0}, b[FILE_BOOT_ID] = {1}, none[FILE_BOOT_ID] = {0};

	(void)state;
	assert_int_equal(file_boot_id(a), 0);
	assert_int_equal(file_boot_id(b), 0);
	assert_memory_equal(a, b, sizeof(a));
	assert_memory_not_equal(a, none, sizeof(a));
	/* A random UUID (RFC 9562 5.4): version and variant are where they belong. */
	assert_int_equal(a[6] >> 4, 4);
	assert_int_equal(a[8] >> 6, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_size_limit),
		cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_alloc_faults),
		cmocka_unit_test(test_container),
		cmocka_unit_test(test_hint),
		cmocka_unit_test(test_set_aside),
		cmocka_unit_test(test_mkdir),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_boot_id),
		cmocka_unit_test(test_kill),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, setup, teardown);
}
