/*
 * Functions that no source of ours calls.  The last include of every source:
 * headers of others may mention them.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets localtime rand srand system
#endif
