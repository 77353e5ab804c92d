/* A file system without locks, as NFS without lockd or Lustre without flock: every lock fails with $NO_LOCKS. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>

int flock(int file, int operation) {
    errno = atoi(getenv("NO_LOCKS"));
    return -1;
}

int fcntl(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (command == F_SETLK || command == F_SETLKW) return flock(file, 0);
    int (*real)(int, int, ...) = dlsym(RTLD_NEXT, "fcntl");
    return real(file, command, argument);
}

int fcntl64(int file, int command, ...) __attribute__((alias("fcntl")));
