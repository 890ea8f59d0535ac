// SPDX-License-Identifier: Apache-2.0

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "CHoldfast.h"

#include <pthread.h>
#include <stdio.h>

void chf_name_thread(const char *name) {
#if defined(__APPLE__)
  pthread_setname_np(name);
#else
  char cut[16];
  snprintf(cut, sizeof cut, "%s", name);
  pthread_setname_np(pthread_self(), cut);
#endif
}
