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

static int control(const char *name, int file, int command, void *argument) {
    if (command == F_SETLK || command == F_SETLKW) return flock(file, 0);
    int (*real)(int, int, ...) = dlsym(RTLD_NEXT, name);
    return real(file, command, argument);
}

int fcntl(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return control("fcntl", file, command, argument);
}

int fcntl64(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return control("fcntl64", file, command, argument);
}
