/* What `ldyn-core` offers to C. Made from src/lib.rs by cbindgen: see `check --bless`.
 *
 * Every function returns a status, and its results count only where that is LDYN_STATUS_OK. An array is a pointer and
 * its length in numbers. Arrays that are written overlap no other one. Labels are counted from 0. Nothing is
 * allocated or kept: all functions may be called from any thread. Link with libldyn.a, which needs abort and memcpy and nothing more. */

#ifndef LDYN_H
#define LDYN_H

#include <stddef.h>

// What came of a call.
typedef enum LdynStatus {
  // The results are written.
  LDYN_STATUS_OK = 0,
  // A pointer is null.
  LDYN_STATUS_NULL = 1,
  // A pointer is not aligned to the numbers that it should lead to.
  LDYN_STATUS_MISALIGNED = 2,
  // An array that is written overlaps another one.
  LDYN_STATUS_OVERLAP = 3,
  // An array is empty.
  LDYN_STATUS_EMPTY = 4,
  // Two arrays that must be equally long are not, or one is longer than memory.
  LDYN_STATUS_LENGTH = 5,
  // A label is not below the length of the vocabulary.
  LDYN_STATUS_LABEL = 6,
  // A logit is NaN or +infinity; finite numbers and -infinity are logits.
  LDYN_STATUS_LOGIT = 7,
  // All logits are -infinity: no label has any probability.
  LDYN_STATUS_NO_MASS = 8,
  // A number is outside its range: probabilities are >= 0 and add up to 1, a step is finite and not 0, and
  // a step needs at least two labels.
  LDYN_STATUS_RANGE = 9,
  // The core refused for a reason that this header does not know yet.
  LDYN_STATUS_OTHER = 10,
} LdynStatus;

// The statistics of one token: what softmax(logits) says, and what it says about its label. Logarithms are natural.
typedef struct LdynTokenStats {
  // log pi(label).
  double logp;
  // The most likely label; among equals the first.
  size_t argmax;
  // log pi(argmax).
  double argmax_logp;
  // log(1 - pi(argmax)).
  double rest_logp;
  // The sum of pi squared.
  double sum_sq;
  // The entropy of pi in nats.
  double entropy;
  // log of the sum of exp(logits).
  double log_z;
  // The Frobenius norm of the adaptation matrix A = I - 1 pi^T.
  double a_norm;
  // The length of pi - e_label.
  double gap_norm;
  // 1 - pi(label).
  double energy;
} LdynTokenStats;

// What one step does to a distribution, summed up.
typedef struct LdynStep {
  // y*, the most likely label other than the one of the step; among equals the first.
  size_t runner_up;
  // How many labels rise.
  size_t risers;
  // After a step that unlearns, a label other than the step's rises exactly if its probability was above
  // this; after one that learns, exactly if it was below. Exact for every step size.
  double threshold;
  // Change of the label's probability.
  double label_change;
  // Change of y*'s probability.
  double runner_up_change;
  // What the others that rise gain in all.
  double risen;
  // What the others that fall lose in all; <= 0.
  double fallen;
  // Change of the entropy in nats.
  double entropy_change;
} LdynStep;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// A status in words; of a number that is none, that it is none.
//
// The text lives as long as the program.
const char *ldyn_words(int status);

// pi = softmax(logits).
//
// # Safety
//
// `logits` leads to `vocab` numbers, `pi` to `pi_len`, or they are null.
enum LdynStatus ldyn_softmax(const double *logits, size_t vocab, double *pi, size_t pi_len);

// log pi = logits - log sum exp(logits).
//
// # Safety
//
// `logits` leads to `vocab` numbers, `log_pi` to `log_pi_len`, or they are null.
enum LdynStatus ldyn_log_softmax(const double *logits,
                                 size_t vocab,
                                 double *log_pi,
                                 size_t log_pi_len);

// The residual of one position, weight * (pi - e_label): the gradient with respect to the logits.
//
// # Safety
//
// `logits` leads to `vocab` numbers, `out` to `out_len`, or they are null.
enum LdynStatus ldyn_residual(const double *logits,
                              size_t vocab,
                              size_t label,
                              double weight,
                              double *out,
                              size_t out_len);

// The statistics of one token.
//
// # Safety
//
// `logits` leads to `vocab` numbers, `stats` to one record, or they are null.
enum LdynStatus ldyn_token_stats(const double *logits,
                                 size_t vocab,
                                 size_t label,
                                 struct LdynTokenStats *stats);

// One exact step of softmax regression on frozen features: logits += step * (e_label - pi), and pi anew.
//
// `step` is the learning rate times the squared length of the features: > 0 learns the label, < 0 unlearns it.
// `pi` is written only, and holds softmax(logits) afterwards. After an error both arrays may have been changed.
//
// # Safety
//
// `logits` leads to `vocab` numbers, `pi` to `pi_len`, or they are null.
enum LdynStatus ldyn_regression_step(double *logits,
                                     size_t vocab,
                                     size_t label,
                                     double step,
                                     double *pi,
                                     size_t pi_len);

// By how much one step changes log pi of every label, and what it does in all: the squeezing effect.
//
// `log_growth` receives log(pi'/pi) of every label. `step` as in ldyn_regression_step; exact for every size.
//
// # Safety
//
// `pi` leads to `vocab` numbers, `log_growth` to `log_growth_len`, `summary` to one record, or they are null.
enum LdynStatus ldyn_growth(const double *pi,
                            size_t vocab,
                            size_t label,
                            double step,
                            double *log_growth,
                            size_t log_growth_len,
                            struct LdynStep *summary);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LDYN_H */
