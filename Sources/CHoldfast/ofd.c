// SPDX-License-Identifier: Apache-2.0

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "CHoldfast.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

// Darwin has the calls but hides their numbers from its public headers.
#if defined(__APPLE__) && !defined(F_OFD_SETLK)
#define F_OFD_SETLK 90
#define F_OFD_SETLKW 91
#define F_OFD_GETLK 92
#endif

static struct flock describe(int16_t type, int64_t start, int64_t length) {
  struct flock lock;
  memset(&lock, 0, sizeof lock);  // l_pid must be 0 for the OFD calls
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = length;
  return lock;
}

static int lock_with(int fd, int command, int16_t type, int64_t start, int64_t length) {
  struct flock lock = describe(type, start, length);
  while (fcntl(fd, command, &lock) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

int chf_ofd_lock(int fd, int16_t type, int64_t start, int64_t length) {
  return lock_with(fd, F_OFD_SETLK, type, start, length);
}

int chf_ofd_lock_wait(int fd, int16_t type, int64_t start, int64_t length) {
  return lock_with(fd, F_OFD_SETLKW, type, start, length);
}

int chf_ofd_probe(int fd, int16_t type, int64_t start, int64_t length, int *blocked) {
  struct flock lock = describe(type, start, length);
  if (fcntl(fd, F_OFD_GETLK, &lock) != 0) return errno;
  *blocked = lock.l_type != F_UNLCK;
  return 0;
}
