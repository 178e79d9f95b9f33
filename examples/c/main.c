/* Unlearn one label, and see who rises: the core used from C. `check` compares what this prints with expected.txt. */
#include "ldyn.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define V 5

static const double LOGITS[V] = {3.0, 1.5, 0.0, -1.8, -3.5};
static const size_t UNLEARNED = 4;
static const double STEP = -1.0; /* the learning rate times the squared length of the features; < 0 unlearns */

static void must(enum LdynStatus found, enum LdynStatus expected, const char *call) {
  if (found != expected) {
    fprintf(stderr, "%s: %s; expected: %s\n", call, ldyn_words(found), ldyn_words(expected));
    exit(EXIT_FAILURE);
  }
}
#define DONE(call) must(call, LDYN_STATUS_OK, #call)
#define REFUSED(call, status) must(call, status, #call), printf("  %s\n", ldyn_words(status))

static void one_step(void) {
  double pi[V], log_pi[V], residual[V], growth[V];
  struct LdynStep step;
  DONE(ldyn_softmax(LOGITS, V, pi, V));
  DONE(ldyn_log_softmax(LOGITS, V, log_pi, V));
  DONE(ldyn_residual(LOGITS, V, UNLEARNED, STEP, residual, V));
  DONE(ldyn_growth(pi, V, UNLEARNED, STEP, growth, V, &step));

  puts("label      pi   log pi  -(pi - e)  log growth");
  for (size_t i = 0; i < V; i++) {
    const char *note = i == UNLEARNED ? "unlearned" : i == step.runner_up ? "y*" : growth[i] > 0 ? "rises" : "";
    printf("%zu      %.4f  %+.4f    %+.4f     %+.4f  %s\n", i, pi[i], log_pi[i], residual[i], growth[i], note);
  }
  printf("%zu label rises: pi must be above %.4f\n", step.risers, step.threshold);
  printf("mass: unlearned %+.4f, y* %+.4f, other risers %+.4f, other fallers %+.4f\n", step.label_change,
         step.runner_up_change, step.risen, step.fallen);
  printf("entropy %+.4f nats\n", step.entropy_change);
}

static void many_steps(void) {
  double logits[V], pi[V], before = 0.0;
  for (size_t i = 0; i < V; i++) logits[i] = LOGITS[i];
  puts("\nsteps  pi(y*)  pi(unlearned)");
  for (int step = 1; step <= 16; step++) {
    DONE(ldyn_regression_step(logits, V, UNLEARNED, STEP, pi, V));
    if ((step & (step - 1)) == 0) printf("%5d  %.4f  %.1e\n", step, pi[0], pi[UNLEARNED]);
    if (pi[0] < before) exit(EXIT_FAILURE); /* y* rises at every step */
    before = pi[0];
  }
}

static void one_token(void) {
  struct LdynTokenStats token;
  DONE(ldyn_token_stats(LOGITS, V, 1, &token));
  puts("\none token with label 1");
  printf("log pi %.6f, argmax %zu with log pi %.6f, the rest %.6f\n", token.logp, token.argmax, token.argmax_logp,
         token.rest_logp);
  printf("entropy %.6f, |A| %.6f, |pi - e| %.6f, 1 - pi %.6f, log Z %.6f\n", token.entropy, token.a_norm,
         token.gap_norm, token.energy, token.log_z);
}

static void what_is_refused(void) {
  double out[V], logits[V] = {0.0, 0.0, NAN, 0.0, 0.0};
  const double none[2] = {-INFINITY, -INFINITY}, half[1] = {0.5};
  struct LdynStep step;
  puts("\nrefused");
  REFUSED(ldyn_softmax(NULL, V, out, V), LDYN_STATUS_NULL);
  REFUSED(ldyn_softmax((const double *)((const char *)logits + 1), 1, out, 1), LDYN_STATUS_MISALIGNED);
  REFUSED(ldyn_softmax(logits, 3, logits + 2, 3), LDYN_STATUS_OVERLAP);
  REFUSED(ldyn_softmax(logits, 0, out, 0), LDYN_STATUS_EMPTY);
  REFUSED(ldyn_softmax(LOGITS, V, out, V - 1), LDYN_STATUS_LENGTH);
  REFUSED(ldyn_softmax(LOGITS, (size_t)-1, out, V), LDYN_STATUS_LENGTH);
  REFUSED(ldyn_token_stats(LOGITS, V, V, &(struct LdynTokenStats){0}), LDYN_STATUS_LABEL);
  REFUSED(ldyn_residual(logits, V, 0, 1.0, out, V), LDYN_STATUS_LOGIT);
  REFUSED(ldyn_log_softmax(none, 2, out, 2), LDYN_STATUS_NO_MASS);
  REFUSED(ldyn_growth(half, 1, 0, STEP, out, 1, &step), LDYN_STATUS_RANGE);
  printf("  %s\n", ldyn_words(-1));
}

int main(void) {
  one_step();
  many_steps();
  one_token();
  what_is_refused();
  return 0;
}
