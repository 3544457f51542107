/*
 * The allocator suite's churn (cli/bench/churn.ts) on the C library's malloc: so many live objects as the argument says, of
 * 32 ... 3072 bytes, 200,000 times free and malloc a round. Built and run by bench/libc.ts: a round for every line of input,
 * answered with nanoseconds a pair.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STEPS 200000

static uint32_t state = 2;

static uint32_t draw(void) {
  state = state * 1664525u + 1013904223u;
  return state >> 8;
}

static size_t size_of_next(void) {
  return 32 + draw() % 3041;
}

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1e9 + at.tv_nsec;
}

int main(int count, char **arguments) {
  uint32_t live = count > 1 ? (uint32_t)atoi(arguments[1]) : 50000;
  void **objects = malloc(live * sizeof *objects);
  for (uint32_t i = 0; i < live; i++) objects[i] = malloc(size_of_next());
  for (int c; (c = getchar()) != EOF;) {
    if (c != '\n') continue;
    double start = now();
    for (int step = 0; step < STEPS; step++) {
      uint32_t i = draw() % live;
      free(objects[i]);
      objects[i] = malloc(size_of_next());
    }
    printf("%f\n", (now() - start) / STEPS);
    fflush(stdout);
  }
  return 0;
}
