// SPDX-License-Identifier: Apache-2.0

#include "CHoldfast.h"

#ifdef __linux__
#include <sys/statfs.h>
#endif

uint32_t chf_filesystem_magic(const char *path) {
#ifdef __linux__
  struct statfs info;
  return statfs(path, &info) == 0 ? (uint32_t)info.f_type : 0;
#else
  (void)path;
  return 0;
#endif
}
