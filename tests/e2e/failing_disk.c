/* A disk that fails on order: loaded before libc (LD_PRELOAD), it stands in front of what a program
 * asks of its files.
 *
 * failing_disk_order(CALL, ERRNO, FIRST, TIMES, PATTERN): the FIRST-th CALL for a path that matches
 * the glob PATTERN, and those after it, TIMES in all (0: for ever), fail with ERRNO and do nothing.
 * A close that fails lets the file go all the same, as Linux does; a sync that fails drops nothing,
 * as the page cache goes on showing what the disk does not have.
 * failing_disk_failed(): how often something failed since the last order.
 *
 * CALL is one of: open (to make a file), write, sync, close (of what may be written), cut, rename,
 * mkdir, unlink, mode (and times), list, read, find (stat). Linux only: paths are looked up in /proc.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char ordered[16], pattern[PATH_MAX];
static int number, first, times, seen, failed;

void failing_disk_order(const char *call, int error, int from, int count, const char *paths) {
  pthread_mutex_lock(&lock);
  snprintf(ordered, sizeof ordered, "%s", call);
  snprintf(pattern, sizeof pattern, "%s", paths);
  number = error, first = from, times = count, seen = failed = 0;
  pthread_mutex_unlock(&lock);
}

int failing_disk_failed(void) { return failed; }

static int fails(const char *call, const char *path) {
  if (!ordered[0] || !path || strcmp(call, ordered) || fnmatch(pattern, path, 0)) return 0;
  pthread_mutex_lock(&lock);
  int at = ++seen, now = at >= first && (!times || at < first + times);
  if (now) failed++;
  pthread_mutex_unlock(&lock);
  if (now) errno = number;
  return now;
}

static int fails_open_file(const char *call, int fd) {
  char link[64], path[PATH_MAX];
  if (strcmp(call, ordered)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return fails(call, path);
}

/* What the program would have called without us. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define ON_FD(call, type, name, parameters, arguments) \
  type name parameters { return fails_open_file(call, fd) ? -1 : NEXT(name) arguments; }
#define ON_PATH(call, type, name, parameters, arguments) \
  type name parameters { return fails(call, path) ? -1 : NEXT(name) arguments; }

ON_FD("write", ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size))
ON_FD("write", ssize_t, pwrite, (int fd, const void *from, size_t size, off_t at),
      (fd, from, size, at))
ON_FD("write", ssize_t, pwrite64, (int fd, const void *from, size_t size, off64_t at),
      (fd, from, size, at))
ON_FD("write", ssize_t, pwritev, (int fd, const struct iovec *from, int count, off_t at),
      (fd, from, count, at))
ON_FD("write", ssize_t, pwritev64, (int fd, const struct iovec *from, int count, off64_t at),
      (fd, from, count, at))
ON_FD("write", ssize_t, pwritev2,
      (int fd, const struct iovec *from, int count, off_t at, int flags),
      (fd, from, count, at, flags))
ON_FD("write", ssize_t, pwritev64v2,
      (int fd, const struct iovec *from, int count, off64_t at, int flags),
      (fd, from, count, at, flags))
ON_FD("read", ssize_t, read, (int fd, void *to, size_t size), (fd, to, size))
ON_FD("read", ssize_t, pread, (int fd, void *to, size_t size, off_t at), (fd, to, size, at))
ON_FD("read", ssize_t, pread64, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at))
ON_FD("sync", int, fsync, (int fd), (fd))
ON_FD("sync", int, fdatasync, (int fd), (fd))
ON_FD("cut", int, ftruncate, (int fd, off_t size), (fd, size))
ON_FD("cut", int, ftruncate64, (int fd, off64_t size), (fd, size))
ON_FD("mode", int, fchmod, (int fd, mode_t mode), (fd, mode))
ON_FD("mode", int, futimens, (int fd, const struct timespec when[2]), (fd, when))
ON_PATH("mkdir", int, mkdir, (const char *path, mode_t mode), (path, mode))
ON_PATH("unlink", int, unlink, (const char *path), (path))
ON_PATH("find", int, stat, (const char *path, struct stat *to), (path, to))
ON_PATH("find", int, stat64, (const char *path, struct stat64 *to), (path, to))
ON_PATH("find", int, lstat, (const char *path, struct stat *to), (path, to))
ON_PATH("find", int, lstat64, (const char *path, struct stat64 *to), (path, to))
ON_PATH("find", int, fstatat, (int folder, const char *path, struct stat *to, int flags),
        (folder, path, to, flags))
ON_PATH("find", int, fstatat64, (int folder, const char *path, struct stat64 *to, int flags),
        (folder, path, to, flags))

/* A rename fails by either of its names. */
int rename(const char *from, const char *to) {
  return fails("rename", to) || fails("rename", from) ? -1 : NEXT(rename)(from, to);
}

int close(int fd) {
  int flags = strcmp("close", ordered) ? O_RDONLY : fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || !fails_open_file("close", fd))
    return NEXT(close)(fd);
  NEXT(close)(fd);
  errno = number;
  return -1;
}

#define OPEN(name, parameters, ...)                                          \
  int name parameters {                                                      \
    mode_t mode = 0;                                                         \
    if (flags & (O_CREAT | O_TMPFILE)) {                                     \
      va_list rest;                                                          \
      va_start(rest, flags);                                                 \
      mode = va_arg(rest, mode_t);                                           \
      va_end(rest);                                                          \
    }                                                                        \
    if (flags & O_DIRECTORY ? fails("list", path)                            \
                            : flags & O_CREAT && fails("open", path))        \
      return -1;                                                             \
    return NEXT(name)(__VA_ARGS__, flags, mode);                             \
  }
OPEN(open, (const char *path, int flags, ...), path)
OPEN(open64, (const char *path, int flags, ...), path)
OPEN(openat, (int folder, const char *path, int flags, ...), folder, path)
OPEN(openat64, (int folder, const char *path, int flags, ...), folder, path)
