// SPDX-License-Identifier: Apache-2.0

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "CHoldfast.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/resource.h>
#include <sys/syscall.h>
#endif

int chf_closes_from(posix_spawn_file_actions_t *actions, int first) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
  return posix_spawn_file_actions_addclosefrom_np(actions, first);
#else
  (void)actions;
  (void)first;
  return ENOSYS;
#endif
}

int chf_pidfd_open(int32_t pid) {
#if defined(__linux__) && defined(SYS_pidfd_open)
  long fd = syscall(SYS_pidfd_open, pid, 0);
  return fd < 0 ? -errno : (int)fd;
#else
  (void)pid;
  return -ENOSYS;
#endif
}

int chf_write_out(int fd, int64_t start, int64_t length) {
#if defined(__linux__)
  unsigned int all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  return sync_file_range(fd, start, length, all) == 0 ? 0 : errno;
#else
  (void)fd;
  (void)start;
  (void)length;
  return ENOSYS;
#endif
}

void chf_yield_processor(void) {
#if defined(__linux__)
  // Of the calling thread only: on Linux a thread is what the number 0 stands for here.
  (void)setpriority(PRIO_PROCESS, 0, 10);
#endif
}
