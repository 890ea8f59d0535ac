// SPDX-License-Identifier: Apache-2.0
#ifndef CHOLDFAST_H
#define CHOLDFAST_H
int chf_placeholder(void);
#endif
